/** Architectures as data. */
export { clipConfigs, type ClipModelName } from "./configs.ts";
export type {
  ClipConfig,
  DecoderConfig,
  LoraConfig,
  ResNetConfig,
  TextConfig,
  TransformerConfig,
  VitConfig,
} from "./config.ts";

/** The forward pass: features, and scaled cosines. */
export { type Clip, clipLogits, encodeImage, encodeText, imageTower, poolImage } from "./clip.ts";
export { textTransformer } from "./text-transformer.ts";
export type { TowerOptions } from "./vision-transformer.ts";

/** What learns beside the towers to write captions. */
export { decodeCaptions, isOfDecoder, type TowerTokens } from "./caption-decoder.ts";

/** Parameters by path: shapes, start values, and the model's record made of them. */
export {
  checkConfig,
  countParameters,
  initializeParameters,
  leaves,
  mapParameters,
  parameterSpecs,
} from "./parameters.ts";
