import type { withTimeLimit as inNode } from "./time-limit.ts";

/** {@link inNode} without a limit: a page cannot interrupt work on its own thread. */
export const withTimeLimit: typeof inNode = (_, work) => work();
