// The door "clip-ts/models": towers and layers as functions of parameter records, for models of your own.

import "./core/globals.ts";

/** The forward pass of a CLIP, and its parts. */
export {
  type Clip,
  clip,
  type ClipInputs,
  clipLogits,
  encodeImage,
  encodeText,
  type TextInputs,
} from "./model/towers/clip.ts";

/** Towers. */
export {
  type ImageTower,
  imageTower,
  type ImageTowerOptions,
  type ImageTowerOutput,
} from "./model/towers/image-tower.ts";
export {
  type ProbePool,
  type TowerOptions,
  type VisionTransformer,
  visionTransformer,
} from "./model/towers/vision-transformer.ts";
export {
  type AttentionPool,
  type AttentionPoolOutput,
  type Bottleneck,
  type ConvNorm,
  type ModifiedResNet,
  modifiedResNet,
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
  type Initial,
  initializeParameters,
  linearSpec,
  mapParameters,
  type ParameterSpec,
  parameterSpecs,
  spec,
  type Specs,
  type WithLeaves,
} from "./model/nn/parameters.ts";

/** Saving and loading. */
export { type SavableParameter, type SaveOptions, saveParameters } from "./model/checkpoints/save.ts";
export {
  loadParameters,
  readParameters,
  type StoredParameter,
  storedParameters,
  type StoredParameters,
} from "./model/checkpoints/load.ts";
export type { Naming, TensorPlacement } from "./model/checkpoints/names/patterns.ts";
export { type Layout, type LayoutFamily, ownNames } from "./model/checkpoints/names/layouts.ts";
export { type ModelToSave, saveModel } from "./model/pretrained/save-model.ts";
