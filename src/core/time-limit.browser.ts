import type { withTimeLimit as inNode } from "./time-limit.ts";

/** {@link inNode} in a page, where nothing can end work on the same thread. */
export const withTimeLimit: typeof inNode = (_, work) => work();
