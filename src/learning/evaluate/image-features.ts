import { ClipError } from "../../core/errors.ts";
import { callback, checkKind, checkOptions, oneOf, type OptionKinds, sourceOf } from "../../core/options.ts";
import { float32 } from "../../core/tensor-data.ts";
import type { LabelledImage } from "../../inputs/data/labelled-images.ts";
import { encodeReadable, readKinds, type ReadOptions } from "../../model/embedding/encode-readable.ts";
import { type ClipEncoder, encoderKind } from "../../model/embedding/encoder.ts";
import type { LabelledFeatures } from "./logistic-regression.ts";

/** The vector that a probe reads: the tower's output before its projection, or the unit vector after it. */
export type FeatureKind = "before" | "after";

export interface FeatureOptions extends ReadOptions {
  /** Called after each image with the number of finished images. */
  readonly onImage?: ((done: number) => void) | undefined;
}

const featureKinds: OptionKinds<FeatureOptions> = { ...readKinds, onImage: callback };

/**
 * The features of labelled images, for {@link trainProbe}.
 *
 * @throws {ClipError} `CLIP_DATA` if none of them can be read.
 */
export async function encodeLabelled(
  encoder: ClipEncoder,
  samples: readonly LabelledImage[],
  kind: FeatureKind,
  options: FeatureOptions = {},
): Promise<LabelledFeatures> {
  checkKind("encodeLabelled: the model", encoder, encoderKind);
  checkKind("encodeLabelled: the images", samples, sourceOf("labelled images"));
  checkKind("encodeLabelled: the kind", kind, oneOf("before", "after"));
  checkOptions("encodeLabelled", options, featureKinds);
  const { onImage, onSkip, ...reading } = options;
  const labels: number[] = [];
  let data = new Float32Array(0);
  let width = 0;
  let done = 0;
  const counted: ReadOptions = {
    ...reading,
    onSkip(skipped) {
      onSkip?.(skipped);
      done++;
      onImage?.(done);
    },
  };
  const method = kind === "before" ? "poolImages" : "encodeImages";
  for await (const [{ label }, vector] of encodeReadable(encoder, samples, counted, method)) {
    if (labels.length === 0) {
      width = vector.length;
      data = new Float32Array(samples.length * width);
    }
    data.set(vector, width * labels.length);
    labels.push(label);
    done++;
    onImage?.(done);
  }
  const count = labels.length;
  if (count === 0) throw new ClipError("CLIP_DATA", `none of ${samples.length} images can be read`);
  return { features: float32(data.subarray(0, count * width), [count, width]), labels: Int32Array.from(labels) };
}
