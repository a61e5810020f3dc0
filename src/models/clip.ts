import type { Tensor } from "../graph/tensor.ts";
import { l2Normalize } from "../nn/layers.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import type { ClipConfig } from "./config.ts";
import { type ModifiedResNet, modifiedResNet } from "./modified-resnet.ts";
import { type TextTransformer, textTransformer } from "./text-transformer.ts";
import { type TowerOptions, type VisionTransformer, visionTransformer } from "./vision-transformer.ts";

/** All parameters of a CLIP. */
export interface Clip<Leaf = Tensor> {
  readonly vision: VisionTransformer<Leaf> | ModifiedResNet<Leaf>;
  readonly text: TextTransformer<Leaf>;
  /** A logarithm, []; starts at ln(1 / 0.07), kept ≤ ln 100. */
  readonly logitScale: Leaf;
  /** []; where scores are sigmoids */
  readonly logitBias?: Leaf;
}

/** What goes in. */
export interface ClipInputs {
  /** float32 [I, 3, S, S], normalised. */
  readonly pixelValues: Tensor;
  /** int32 [T, L], padded behind the end-of-text. */
  readonly inputIds: Tensor;
  /** int32 [T]: the position of the end-of-text. */
  readonly endOfText: Tensor;
}

/** Pixels [I, 3, S, S] to imageFeatures [I, E], not yet of unit length. */
export function encodeImage(
  p: Pick<Clip, "vision">,
  config: ClipConfig,
  pixelValues: Tensor,
  options: TowerOptions & { readonly updates?: StatisticUpdate[] } = {},
): Tensor {
  const { vision } = config;
  return vision.kind === "vit"
    ? visionTransformer(p.vision as VisionTransformer, config, vision, pixelValues, options)
    : modifiedResNet(p.vision as ModifiedResNet, vision, pixelValues, options.updates);
}

/** inputIds [T, L] to textFeatures [T, E], not yet of unit length. */
export function encodeText(
  p: Pick<Clip, "text">,
  config: ClipConfig,
  { inputIds, endOfText }: Pick<ClipInputs, "inputIds" | "endOfText">,
  options: TowerOptions = {},
): Tensor {
  return textTransformer(p.text, config, inputIds, endOfText, options);
}

/**
 * Scaled cosines of features [I, E] and [T, E], and the bias where the model has one: logitsPerImage [I, T] and its
 * transpose (Radford et al. 2021, figure 3; Zhai et al. 2023, algorithm 1).
 */
export function clipLogits(
  imageFeatures: Tensor,
  textFeatures: Tensor,
  { logitScale, logitBias }: Pick<Clip, "logitScale" | "logitBias">,
) {
  const imageEmbeds = l2Normalize(imageFeatures);
  const textEmbeds = l2Normalize(textFeatures);
  const scaled = imageEmbeds.mul(logitScale.exp()).matmul(textEmbeds.T);
  const logitsPerImage = logitBias ? scaled.add(logitBias) : scaled;
  return { imageEmbeds, textEmbeds, logitsPerImage, logitsPerText: logitsPerImage.T };
}
