import { z } from "zod";
import { type Kind, number, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";
import type { ResampleFilter } from "./resample.ts";

/** A model's image preprocessing. Wrong values cause no error; they silently lower accuracy. */
export interface PreprocessConfig {
  /** Side of the image tower's square input, in pixels. */
  readonly imageSize: number;
  /** Mean of R, G and B in the training data, for values in [0, 1]. */
  readonly mean: readonly [number, number, number];
  /** Standard deviation of R, G and B in the training data, for values in [0, 1]. */
  readonly std: readonly [number, number, number];
  /** Resampling filter. */
  readonly resample: ResampleFilter;
  /** `"shortest"` (default) scales the shorter side and crops the centre; `"squash"` scales both sides, ignoring proportions. */
  readonly resizeMode?: ResizeMode | undefined;
}

/** How an image is resized to a square. */
export type ResizeMode = "shortest" | "squash";

/** Preprocessing of OpenAI's 224-pixel CLIP models; open_clip's models share mean, std and filter. */
export const clipPreprocess: PreprocessConfig = {
  imageSize: 224,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
  resample: "bicubic",
};

const perChannel: Kind = {
  wanted: "a list of three numbers, of R, G and B",
  fits: (value) => Array.isArray(value) && value.length === 3 && value.every(number.fits),
};
export const preprocessKinds: OptionKinds<PreprocessConfig> = {
  imageSize: wholeNumber(1),
  mean: perChannel,
  std: perChannel,
  resample: oneOf("bicubic", "bilinear"),
  resizeMode: oneOf("shortest", "squash"),
};

const rgb = (channel: z.ZodNumber) => z.tuple([channel, channel, channel]);

/** A {@link PreprocessConfig} in a JSON file, without the image size, which the architecture defines. */
export const preprocessSchema = z
  .strictObject({
    mean: rgb(z.number()),
    std: rgb(z.number().positive()),
    resample: z.enum(["bicubic", "bilinear"]),
    resizeMode: z.enum(["shortest", "squash"]).optional(),
  })
  .default({ mean: [...clipPreprocess.mean], std: [...clipPreprocess.std], resample: clipPreprocess.resample });
