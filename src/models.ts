// The door "clip-ts/models": towers and layers as functions of parameter records, for models of your own.

import "./core/globals.ts";

/** The forward pass of a CLIP, and its parts. */
export { clip, clipLogits, encodeImage, encodeText } from "./model/towers/clip.ts";
export type { Clip, ClipInputs, TextInputs } from "./model/towers/clip.ts";

/** Towers. */
export { imageTower } from "./model/towers/image-tower.ts";
export type { ImageTower, ImageTowerOptions, ImageTowerOutput } from "./model/towers/image-tower.ts";
export { visionTransformer } from "./model/towers/vision-transformer.ts";
export type { ProbePool, TowerOptions, VisionTransformer } from "./model/towers/vision-transformer.ts";
export { modifiedResNet } from "./model/towers/modified-resnet.ts";
export type {
  AttentionPool,
  AttentionPoolOutput,
  Bottleneck,
  ConvNorm,
  ModifiedResNet,
} from "./model/towers/modified-resnet.ts";
export type { ConvStem, PlacesPool, Readout } from "./model/towers/pictogram-parts.ts";
export type { CaptionDecoder } from "./model/towers/caption-decoder.ts";
export { type TextTowerOutput, type TextTransformer, textTransformer } from "./model/towers/text-transformer.ts";

/** Layers and norms. */
export {
  type Activation,
  type NormParameters,
  attend,
  type Attention,
  attention,
  type AttentionOptions,
  type Block,
  block,
  type BlockConfig,
  crossAttention,
  l2Normalize,
  layerNorm,
  type Linear,
  linear,
  type LowRank,
  mergeHeads,
  type Mlp,
  mlp,
  splitHeads,
} from "./model/nn/layers.ts";
export { type BatchNorm, batchNorm, groupNorm, type StatisticUpdate } from "./model/nn/norms.ts";
export { transformer, type TransformerOptions } from "./model/nn/transformer.ts";

/** Architectures. */
export { clipConfigs, type ClipModelName } from "./model/towers/configs.ts";
export type {
  ClipConfig,
  DecoderConfig,
  LoraConfig,
  ResNetConfig,
  TextConfig,
  TransformerConfig,
  VitConfig,
} from "./model/towers/config.ts";

/** Shapes and initial values of parameters. */
export { clipParameters } from "./model/towers/parameters.ts";
export {
  normSpec,
  countParameters,
  fanInSpec,
  initializeParameters,
  linearSpec,
  mapParameters,
  parameterSpecs,
  spec,
} from "./model/nn/parameters.ts";
export type { Initial, ParameterSpec, Specs, WithLeaves } from "./model/nn/parameters.ts";

/** Saving and loading. */
export { type SavableParameter, type SaveOptions, saveParameters } from "./model/checkpoints/save.ts";
export { loadParameters, readParameters, storedParameters } from "./model/checkpoints/load.ts";
export type { StoredParameter, StoredParameters } from "./model/checkpoints/load.ts";
export type { Naming, TensorPlacement } from "./model/checkpoints/names/patterns.ts";
export { type Layout, type LayoutFamily, ownNames } from "./model/checkpoints/names/layouts.ts";
export { type ModelToSave, saveModel } from "./model/pretrained/save-model.ts";
