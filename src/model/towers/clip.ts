import type { Tensor } from "../../engine/graph/tensor.ts";
import { l2Normalize } from "../nn/layers.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import type { CaptionDecoder } from "./caption-decoder.ts";
import type { ClipConfig } from "./config.ts";
import { type ModifiedResNet, modifiedResNet } from "./modified-resnet.ts";
import { type TextTransformer, textTransformer } from "./text-transformer.ts";
import {
  type ImageTowerOutput,
  type TowerOptions,
  type VisionTransformer,
  visionTransformer,
} from "./vision-transformer.ts";

/** All parameters of a CLIP. */
export interface Clip<Leaf = Tensor> {
  readonly vision: VisionTransformer<Leaf> | ModifiedResNet<Leaf>;
  readonly text: TextTransformer<Leaf>;
  /** A logarithm, []; starts at ln(1 / 0.07), kept ≤ ln 100. */
  readonly logitScale: Leaf;
  /** []; where scores are sigmoids */
  readonly logitBias?: Leaf;
  /** While it learns from synthetic captions. */
  readonly decoder?: CaptionDecoder<Leaf>;
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

/** How an image tower is computed, beside its architecture. */
type ImageTowerOptions = TowerOptions & { readonly updates?: StatisticUpdate[] };

/** Pixels [I, 3, S, S] to imageFeatures [I, E], not yet of unit length. */
export function encodeImage(
  p: Pick<Clip, "vision">,
  config: ClipConfig,
  pixelValues: Tensor,
  options: ImageTowerOptions = {},
): Tensor {
  return imageTower(p, config, pixelValues, options).imageFeatures;
}

/**
 * Pixels [I, 3, S, S] to what the paper's linear probes read (Radford et al. 2021, section 3.2): [I, ·], of a ViT what its
 * projection makes the features of; of a ResNet the features, whose attention pool ends with its projection.
 */
export function poolImage(p: Pick<Clip, "vision">, config: ClipConfig, pixelValues: Tensor): Tensor {
  return imageTower(p, config, pixelValues, {}).pooled;
}

/** Pixels [I, 3, S, S] to imageFeatures [I, E], what they are read from, and the tokens that the tower ends with. */
export function imageTower(
  p: Pick<Clip, "vision">,
  config: ClipConfig,
  pixelValues: Tensor,
  options: ImageTowerOptions,
): ImageTowerOutput {
  const { vision } = config;
  if (vision.kind === "vit")
    return visionTransformer(p.vision as VisionTransformer, config, vision, pixelValues, options);
  const { imageFeatures, tokens } = modifiedResNet(p.vision as ModifiedResNet, vision, pixelValues, options.updates);
  return { imageFeatures, pooled: imageFeatures, tokens };
}

/** inputIds [T, L] to textFeatures [T, E], not yet of unit length. */
export function encodeText(
  p: Pick<Clip, "text">,
  config: ClipConfig,
  { inputIds, endOfText }: Pick<ClipInputs, "inputIds" | "endOfText">,
  options: TowerOptions = {},
): Tensor {
  return textTransformer(p.text, config, inputIds, endOfText, options).textFeatures;
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
