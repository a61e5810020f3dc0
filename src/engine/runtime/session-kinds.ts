import { abortSignal, callback, flag, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";
import type { SessionOptions } from "./ort-session.ts";
import type { WeightOptions } from "./program.ts";

export const deviceKind = oneOf("cpu", "webgpu");

export const sessionKinds: OptionKinds<SessionOptions> = {
  device: deviceKind,
  fallback: flag,
  threads: wholeNumber(1),
  training: flag,
  prepack: flag,
  arena: flag,
  spin: flag,
};
export const weightKinds: OptionKinds<WeightOptions> = { onProgress: callback, signal: abortSignal };
