import { abortSignal, callback, flag, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";
import type { SessionOptions } from "./ort-session.ts";
import type { WeightOptions } from "./program.ts";

/** What computes, as an option. */
export const deviceKind = oneOf("cpu", "webgpu");

/** The kind of each option of a session. */
export const sessionKinds: OptionKinds<SessionOptions> = {
  device: deviceKind,
  fallback: flag,
  threads: wholeNumber(1),
  training: flag,
  prepack: flag,
  arena: flag,
};
export const weightKinds: OptionKinds<WeightOptions> = { onProgress: callback, signal: abortSignal };
