import type { Tensor } from "../../engine/graph/tensor.ts";
import { l2Normalize } from "../nn/layers.ts";
import type { CaptionDecoder } from "./caption-decoder.ts";
import type { ClipConfig } from "./config.ts";
import { imageTower, type ImageTower, type ImageTowerOptions } from "./image-tower.ts";
import { type TextTransformer, textTransformer } from "./text-transformer.ts";

/** All parameters of a CLIP. */
export interface Clip<Leaf = Tensor> {
  readonly vision: ImageTower<Leaf>;
  readonly text: TextTransformer<Leaf>;
  /** Log of the scale applied to cosine similarities, []; starts at ln(1 / 0.07), kept ≤ ln 100. */
  readonly logitScale: Leaf;
  /** Added to the scaled similarities, []; only where the model is SigLIP-style. */
  readonly logitBias?: Leaf;
  /** Only in training with synthetic captions. */
  readonly decoder?: CaptionDecoder<Leaf>;
}

export interface TextInputs {
  /** int32 [T, L], padded after the end-of-text. */
  readonly inputIds: Tensor;
  /** int32 [T]: the position of the end-of-text. */
  readonly endOfText: Tensor;
}

export interface ClipInputs extends TextInputs {
  /** float32 [I, 3, S, S], normalized. */
  readonly pixelValues: Tensor;
}

/** The forward pass (Radford et al. 2021, figure 3): logits of every image with every text. */
export function clip(p: Clip, config: ClipConfig, { pixelValues, ...texts }: ClipInputs) {
  const imageEmbeds = encodeImage(p, config, pixelValues); // [I, E]
  const textEmbeds = encodeText(p, config, texts); // [T, E]
  const logitsPerImage = clipLogits(p, imageEmbeds, textEmbeds); // [I, T]
  return { imageEmbeds, textEmbeds, logitsPerImage, logitsPerText: logitsPerImage.T };
}

/** pixelValues [I, 3, S, S] → imageEmbeds [I, E] of unit length. */
export function encodeImage(
  p: Pick<Clip, "vision">,
  config: ClipConfig,
  pixelValues: Tensor,
  options?: ImageTowerOptions,
): Tensor {
  return l2Normalize(imageTower(p.vision, config, pixelValues, options).imageFeatures);
}

/** inputIds [T, L] → textEmbeds [T, E] of unit length. */
export function encodeText(p: Pick<Clip, "text">, config: ClipConfig, { inputIds, endOfText }: TextInputs): Tensor {
  return l2Normalize(textTransformer(p.text, config, inputIds, endOfText).textFeatures);
}

/**
 * Scaled cosine similarities of unit vectors [I, E] and [T, E], plus the bias of a SigLIP-style model (Zhai et al. 2023,
 * algorithm 1): logitsPerImage [I, T].
 */
export function clipLogits(
  { logitScale, logitBias }: Pick<Clip, "logitScale" | "logitBias">,
  imageEmbeds: Tensor,
  textEmbeds: Tensor,
): Tensor {
  const scaled = imageEmbeds.mul(logitScale.exp()).matmul(textEmbeds.T);
  return logitBias ? scaled.add(logitBias) : scaled;
}
