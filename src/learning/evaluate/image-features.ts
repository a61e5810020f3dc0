import { ClipError } from "../../core/errors.ts";
import { float32 } from "../../core/tensor-data.ts";
import type { LabelledImage } from "../../inputs/data/labelled-images.ts";
import { encodeReadable, type ReadOptions } from "../../model/embedding/encode-readable.ts";
import type { ClipEncoder } from "../../model/embedding/encoder.ts";
import type { LabelledFeatures } from "./logistic-regression.ts";

/** The vector of an image: before the tower's projection, or the unit vector after it. */
export type FeatureKind = "before" | "after";

/** How images are read and encoded. */
export interface FeatureOptions extends ReadOptions {
  /** Called with the number of images done, skipped ones included. */
  readonly onImage?: ((done: number) => void) | undefined;
}

/**
 * Encodes images with their classes.
 *
 * @throws {ClipError} `CLIP_DATA` if none of them can be read.
 */
export async function encodeLabelled(
  encoder: ClipEncoder,
  samples: readonly LabelledImage[],
  kind: FeatureKind,
  { onImage, onSkip, ...reading }: FeatureOptions = {},
): Promise<LabelledFeatures> {
  const labels: number[] = [];
  let data = new Float32Array(0);
  let width = 0;
  let done = 0;
  const options: ReadOptions = {
    ...reading,
    onSkip(skipped) {
      onSkip?.(skipped);
      onImage?.(++done);
    },
  };
  const method = kind === "before" ? "poolImages" : "encodeImages";
  for await (const [{ label }, vector] of encodeReadable(encoder, samples, options, method)) {
    if (labels.length === 0) {
      width = vector.length;
      data = new Float32Array(samples.length * width);
    }
    data.set(vector, width * labels.length);
    labels.push(label);
    onImage?.(++done);
  }
  const count = labels.length;
  if (count === 0) throw new ClipError("CLIP_DATA", `none of ${samples.length} images can be read`);
  return { features: float32(data.subarray(0, count * width), [count, width]), labels: Int32Array.from(labels) };
}
