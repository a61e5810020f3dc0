import { abortSignal, callback, flag, listOf, type OptionKinds, text } from "../../core/options.ts";
import type { ResolveOptions } from "./resolve.ts";

/** Kinds of `resolveModel`'s options, in Node and in a page. */
export const resolveKinds: OptionKinds<ResolveOptions> = {
  files: listOf(text),
  offline: flag,
  signal: abortSignal,
  onProgress: callback,
  onLicence: callback,
  onFetch: callback,
  onStale: callback,
};
