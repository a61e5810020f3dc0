import type { Activation } from "../nn/layers.ts";

/** How weights are changed by matrices of low rank, which are (alpha / rank) · up · down. */
export interface LoraConfig {
  readonly rank: number;
  readonly alpha: number;
}

/** A stack of Transformer blocks. */
export interface TransformerConfig {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Numbers between the two layers of an MLP; default 4 × `width`. */
  readonly mlpWidth?: number | undefined;
  /** In training: every matrix of the blocks has a change of low rank. Finished models have it merged. */
  readonly lora?: LoraConfig | undefined;
}

/** A Vision Transformer (Dosovitskiy et al. 2021) as CLIP has it: class token, layer norm before the blocks. */
export interface VitConfig extends TransformerConfig {
  readonly kind: "vit";
  /** Side of the square image, in pixels. */
  readonly imageSize: number;
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  /**
   * How pixels become tokens: by one convolution as large as a patch (default), or by small ones that overlap (Xiao et
   * al. 2021), which learn from fewer images; then `patchSize` is a multiple of 4.
   */
  readonly stem?: "patch" | "convolutions" | undefined;
  /**
   * What the features are read from: the class token (default), or all tokens side by side, so that every place keeps
   * its own weights and less data is needed; then there is no class token. With `probe` the tower is SigLIP's (Zhai et al.
   * 2023): a learned query attends to all tokens and an MLP makes the features, so `width` is `embedDim`; there is no class
   * token and no layer norm before the blocks, and the patches have a bias.
   */
  readonly pool?: "class" | "places" | "probe" | undefined;
  /**
   * Whether the features are also read from oriented gradients and colours that are not learned, which carries over from
   * few images; then pixels are from −1 to 1 and `imageSize` is a multiple of 16.
   */
  readonly descriptors?: boolean | undefined;
}

/**
 * CLIP's ModifiedResNet: three convolutions and a pool as stem, bottlenecks whose strides are average pools, and a pool
 * by attention that keeps positions.
 */
export interface ResNetConfig {
  readonly kind: "resnet";
  /** Side of the square image, in pixels. */
  readonly imageSize: number;
  /** Channels of the first stage's bottlenecks; a stage has 4 times as many outside, and twice those before it. */
  readonly width: number;
  /** Bottlenecks per stage; each stage after the first halves the side. */
  readonly layers: readonly number[];
  /** Heads of the attention pool. */
  readonly heads: number;
  /** `batch` as published; `group` sees one image at a time. */
  readonly norm: "batch" | "group";
}

/** The text Transformer. */
export interface TextConfig extends TransformerConfig {
  /** Tokens of a text, both marks included. */
  readonly contextLength: number;
  readonly vocabSize: number;
  /** Where it is not that of the image tower. */
  readonly activation?: Activation | undefined;
  /** Whether a token sees only those before it (default); without it the padding is seen and belongs to the text. */
  readonly causal?: boolean | undefined;
  /** The token that the features are read from: the first end-of-text (default), or the last of the context. */
  readonly pool?: "endOfText" | "last" | undefined;
  /** Whether the projection has a bias; default not. */
  readonly projectionBias?: boolean | undefined;
}

/** A decoder that learns to write captions of so many tokens, the mark at their start left out. */
export interface DecoderConfig {
  readonly length: number;
}

/** An architecture. Everything else (grid, head size, parameter shapes) follows from it. */
export interface ClipConfig {
  /** Size of the space that both towers share. */
  readonly embedDim: number;
  /** No default: the same shapes were trained with each, and the wrong one only lowers accuracy. */
  readonly activation: Activation;
  /** ε of the Transformers' layer norms; default 1e-5. */
  readonly layerNormEpsilon?: number | undefined;
  /**
   * How cosines become probabilities, as the model was trained: by a softmax over what is compared (default), or each by
   * its own sigmoid with a learned bias (SigLIP).
   */
  readonly score?: "softmax" | "sigmoid" | undefined;
  readonly vision: VitConfig | ResNetConfig;
  readonly text: TextConfig;
  /** In training with synthetic captions. Finished models have none. */
  readonly decoder?: DecoderConfig | undefined;
}

/** Channels after the last stage of a ResNet. */
export function resNetOutput({ width, layers }: ResNetConfig): number {
  return width * 4 * 2 ** (layers.length - 1);
}

/** Places per side after the last stage of a ResNet: the stem quarters the side, each later stage halves it. */
export function resNetGrid({ imageSize, layers }: ResNetConfig): number {
  return imageSize / (4 * 2 ** (layers.length - 1));
}
