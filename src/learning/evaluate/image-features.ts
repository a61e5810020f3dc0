import { ClipError } from "../../core/errors.ts";
import { float32 } from "../../core/tensor-data.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { lazyImage } from "../../inputs/data/image-location.ts";
import type { ClipEncoder, OnSkip } from "../../model/embedding/encoder.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";
import type { LabelledImage } from "../../inputs/data/labelled-images.ts";
import type { LabelledFeatures } from "./logistic-regression.ts";

/** Features of an image: the vector before the tower's projection, or the unit vector after it. */
export type FeatureKind = "before" | "after";

/** Options of {@link encodeLabelled}. */
export interface FeatureOptions extends DecodeOptions {
  /** Called after each image. */
  readonly onImage?: ((done: number) => void) | undefined;
  /** Called for each unreadable image, which is skipped. */
  readonly onSkip?: ((skipped: SkippedImage) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Encodes labelled images.
 *
 * @throws {ClipError} `CLIP_DATA` if none of them can be read.
 */
export async function encodeLabelled(
  encoder: ClipEncoder,
  samples: readonly LabelledImage[],
  kind: FeatureKind,
  { onImage, onSkip, signal, ...decoding }: FeatureOptions = {},
): Promise<LabelledFeatures> {
  const labels: number[] = [];
  const encode = kind === "before" ? encoder.poolImages.bind(encoder) : encoder.encodeImages.bind(encoder);
  const images = samples.map((sample) => lazyImage(sample, decoding));
  let data = new Float32Array(0);
  let width = 0;
  let seen = 0;
  const skip: OnSkip = ({ message }, _, index) => onSkip?.({ image: samples[index]!.image, reason: message });
  for await (const vector of encode(images, { signal, onSkip: skip })) {
    const { label } = samples[seen++]!;
    if (vector) {
      if (labels.length === 0) [width, data] = [vector.length, new Float32Array(samples.length * vector.length)];
      data.set(vector, width * labels.length);
      labels.push(label);
    }
    onImage?.(seen);
  }
  const done = labels.length;
  if (done === 0) throw new ClipError("CLIP_DATA", `none of ${samples.length} images could be read`);
  return { features: float32(data.subarray(0, done * width), [done, width]), labels: Int32Array.from(labels) };
}
