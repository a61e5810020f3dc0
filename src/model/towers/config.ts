import type { Activation } from "../nn/layers.ts";

/** LoRA: each weight gets (alpha / rank) · up · down added. */
export interface LoraConfig {
  readonly rank: number;
  readonly alpha: number;
}

/** A stack of Transformer blocks. */
export interface TransformerConfig {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Hidden width of the MLPs; default 4 × `width`. */
  readonly mlpWidth?: number | undefined;
  /** Adapters on every matrix of the blocks, in training; saved models have them merged. */
  readonly lora?: LoraConfig | undefined;
}

/** CLIP's Vision Transformer (Dosovitskiy et al. 2021), with a class token and a layer norm before the blocks. */
export interface VitConfig extends TransformerConfig {
  readonly kind: "vit";
  /** Side of the square image, in pixels. */
  readonly imageSize: number;
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  /**
   * Turns pixels into tokens: one patch-sized convolution (default), or small overlapping ones (Xiao et al. 2021), which
   * need fewer training images and a `patchSize` divisible by 4.
   */
  readonly stem?: "patch" | "convolutions" | undefined;
  /**
   * Source of the features.
   * - `class` (default): the class token.
   * - `places`: all tokens concatenated, each position with its own weights, which needs less data; no class token.
   * - `probe`: a learned query attends to all tokens, then an MLP (SigLIP, Zhai et al. 2023). `width` must equal `embedDim`;
   *   no class token, no layer norm before the blocks, and the patch embedding has a bias.
   */
  readonly pool?: "class" | "places" | "probe" | undefined;
  /**
   * Adds features from fixed descriptors (oriented gradients and colours), which generalize from few images. Pixels must
   * then be in [−1, 1] and `imageSize` divisible by 16.
   */
  readonly descriptors?: boolean | undefined;
}

/** CLIP's ModifiedResNet: a stem of three convolutions, bottlenecks with average pools as strides, an attention pool. */
export interface ResNetConfig {
  readonly kind: "resnet";
  /** Side of the square image, in pixels. */
  readonly imageSize: number;
  /** Inner channels of the first stage's bottlenecks; they double per stage, and a bottleneck outputs 4 times as many. */
  readonly width: number;
  /** Bottlenecks per stage; each stage after the first halves the side. */
  readonly layers: readonly number[];
  /** Heads of the attention pool. */
  readonly heads: number;
  /** `batch` as published; `group` is independent of the other images in a batch. */
  readonly norm: "batch" | "group";
}

export interface TextConfig extends TransformerConfig {
  /** Tokens per text, including start and end of text. */
  readonly contextLength: number;
  readonly vocabSize: number;
  /** Only if it differs from the image tower's. */
  readonly activation?: Activation | undefined;
  /** Tokens attend only to earlier ones (default true). If false, they attend to the padding too. */
  readonly causal?: boolean | undefined;
  /** Token that the features are read from: the first end-of-text (default), or the last of the context. */
  readonly pool?: "endOfText" | "last" | undefined;
  /** Default false. */
  readonly projectionBias?: boolean | undefined;
}

/** Caption decoder; `length` is the number of tokens that it writes, without the start of text. */
export interface DecoderConfig {
  readonly length: number;
}

/** An architecture; grid, head size and parameter shapes follow from it. */
export interface ClipConfig {
  /** Size of the space that both towers share. */
  readonly embedDim: number;
  /** No default: weights do not show it, and a wrong one silently lowers accuracy. */
  readonly activation: Activation;
  /** ε of the layer norms in both towers; default 1e-5. */
  readonly layerNormEpsilon?: number | undefined;
  /** Training loss: a softmax over all candidates (default), or a sigmoid per pair with a learned bias (SigLIP). */
  readonly score?: "softmax" | "sigmoid" | undefined;
  readonly vision: VitConfig | ResNetConfig;
  readonly text: TextConfig;
  /** Only in training with synthetic captions; saved models have none. */
  readonly decoder?: DecoderConfig | undefined;
}

/** Channels after the last stage of a ResNet. */
export function resNetOutput({ width, layers }: ResNetConfig): number {
  return width * 4 * 2 ** (layers.length - 1);
}

/** Side of a ResNet's last feature map: the stem quarters the image's side, each later stage halves it. */
export function resNetGrid({ imageSize, layers }: ResNetConfig): number {
  return imageSize / (4 * 2 ** (layers.length - 1));
}
