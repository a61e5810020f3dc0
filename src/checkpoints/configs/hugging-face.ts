import { z } from "zod";
import { ClipError } from "../../core/errors.ts";
import { parseStrict } from "../../core/parse.ts";
import { clipPreprocess, type PreprocessConfig } from "../../image/preprocess-config.ts";
import type { ClipConfig, TransformerConfig } from "../../models/index.ts";
import type { Activation } from "../../nn/layers.ts";
import { size } from "../config-schema.ts";
import { refuseUnlessEqual } from "./equal.ts";

/** Hugging Face's names of activations, to ours. */
const activations = { quick_gelu: "quickGelu", gelu: "gelu", gelu_pytorch_tanh: "geluTanh" } as const;

const hiddenAct = z.enum(Object.keys(activations) as [keyof typeof activations]);

/** The sizes of a tower, with the values that their configuration classes leave out of a file where nothing was changed. */
const tower = (defaults: {
  hidden_size: number;
  intermediate_size: number;
  num_attention_heads: number;
  hidden_act: keyof typeof activations;
  layer_norm_eps: number;
}) => ({
  hidden_size: size(65_536).default(defaults.hidden_size),
  intermediate_size: size(1_048_576).default(defaults.intermediate_size),
  num_hidden_layers: size(1_000).default(12),
  num_attention_heads: size(1_024).default(defaults.num_attention_heads),
  hidden_act: hiddenAct.default(defaults.hidden_act),
  layer_norm_eps: z.number().positive().max(1).default(defaults.layer_norm_eps),
});

const clipTower = { hidden_act: "quick_gelu", layer_norm_eps: 1e-5 } as const;
const siglipTower = {
  ...{ hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
  ...({ hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 } as const),
};
const vision = (patchSize: number) => ({
  image_size: size(8_192).default(224),
  patch_size: size(8_192).default(patchSize),
  num_channels: z.literal(3).default(3),
});
const text = (vocabSize: number, contextLength: number) => ({
  vocab_size: size(10_000_000).default(vocabSize),
  max_position_embeddings: size(65_536).default(contextLength),
});

const configSchema = z.discriminatedUnion("model_type", [
  z.object({
    model_type: z.literal("clip"),
    projection_dim: size(65_536).default(512),
    vision_config: z
      .object({
        ...tower({ ...clipTower, hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 }),
        ...vision(32),
      })
      .prefault({}),
    text_config: z
      .object({
        ...tower({ ...clipTower, hidden_size: 512, intermediate_size: 2048, num_attention_heads: 8 }),
        ...text(49_408, 77),
      })
      .prefault({}),
  }),
  z.object({
    model_type: z.literal("siglip"),
    vision_config: z.object({ ...tower(siglipTower), ...vision(16) }).prefault({}),
    text_config: z
      .object({ ...tower(siglipTower), ...text(32_000, 64), projection_size: size(65_536).optional() })
      .prefault({}),
  }),
]);

type Tower = z.output<typeof configSchema>["text_config"] | z.output<typeof configSchema>["vision_config"];

/** Whether a `config.json` is one of Hugging Face's: ours has no such key. */
export function isHuggingFaceConfig(
  json: unknown,
): json is { readonly model_type: unknown; readonly [key: string]: unknown } {
  return typeof json === "object" && json !== null && "model_type" in json;
}

/**
 * The architecture in a `config.json` of Hugging Face's `CLIPModel` or `SiglipModel` (SigLIP, and SigLIP 2 at a fixed
 * resolution).
 *
 * @throws {ClipError} `CLIP_CONFIG` if it is another model's, or says what we cannot compute.
 */
export function huggingFaceConfig(
  json: { readonly model_type: unknown; readonly [key: string]: unknown },
  path: string,
): ClipConfig {
  if (json.model_type !== "clip" && json.model_type !== "siglip") {
    const met = `${path} is of a model of type ${JSON.stringify(json.model_type)}`;
    throw new ClipError("CLIP_CONFIG", `${met}; clip and siglip (SigLIP 2 at a fixed resolution too) can be read`);
  }
  const config = parseStrict(configSchema, json, path);
  const { vision_config: vision, text_config: text } = config;
  if (vision.layer_norm_eps !== text.layer_norm_eps)
    throw new ClipError("CLIP_CONFIG", `${path}: the towers' layer_norm_eps differ; only equal ones are supported`);
  const siglip = config.model_type === "siglip";
  const activation = activations[vision.hidden_act];
  const textActivation = activations[text.hidden_act];
  return {
    embedDim: siglip ? vision.hidden_size : config.projection_dim,
    activation,
    ...(siglip && { score: "sigmoid" }),
    ...(vision.layer_norm_eps !== 1e-5 && { layerNormEpsilon: vision.layer_norm_eps }),
    vision: {
      kind: "vit",
      imageSize: vision.image_size,
      patchSize: vision.patch_size,
      ...sizes(vision),
      ...(siglip && { pool: "probe" }),
    },
    text: {
      contextLength: text.max_position_embeddings,
      vocabSize: text.vocab_size,
      ...sizes(text),
      ...(textActivation !== activation && { activation: textActivation }),
      ...(siglip && { causal: false, pool: "last", projectionBias: true }),
    },
  };
}

function sizes({ hidden_size: width, num_hidden_layers: layers, num_attention_heads: heads, ...tower }: Tower) {
  const { intermediate_size: mlpWidth } = tower;
  return { width, layers, heads, ...(mlpWidth !== 4 * width && { mlpWidth }) };
}

const rgb = (channel: z.ZodNumber) => z.tuple([channel, channel, channel]);
const square = z
  .object({ height: size(8_192), width: size(8_192) })
  .refine(({ height, width }) => height === width, "must be square");

/** Pillow's numbers of filters. */
const filters = { 2: "bilinear", 3: "bicubic" } as const;

const preprocessorSchema = z.object({
  image_mean: rgb(z.number()).optional(),
  image_std: rgb(z.number().positive()).optional(),
  resample: z.union([z.literal(2), z.literal(3)]).default(3),
  do_center_crop: z.boolean().optional(),
  // What would change the result and is not supported.
  do_normalize: z.literal(true).optional(),
  do_rescale: z.literal(true).optional(),
  rescale_factor: z
    .number()
    .refine((factor) => Math.abs(255 * factor - 1) < 1e-6, "must be 1 / 255")
    .optional(),
  size: z.union([size(8_192), z.object({ shortest_edge: size(8_192) }), square]),
  crop_size: z.union([size(8_192), square]).optional(),
});

/**
 * What `preprocessor_config.json` says of pictures.
 *
 * @param json - undefined where the folder has no such file: then what the family was trained with.
 * @throws {ClipError} `CLIP_CONFIG` if it asks for what we cannot do, or for another size than the model's.
 */
export function huggingFacePreprocess(json: unknown, config: ClipConfig, path: string): PreprocessConfig {
  const { imageSize } = config.vision;
  const siglip = config.score === "sigmoid";
  const half = [0.5, 0.5, 0.5] as const;
  const family: PreprocessConfig = siglip
    ? { imageSize, mean: half, std: half, resample: "bicubic", resizeMode: "squash" }
    : { ...clipPreprocess, imageSize };
  if (json === undefined) return family;
  const { image_mean: mean, image_std: std, resample, ...rest } = parseStrict(preprocessorSchema, json, path);
  const shortest = typeof rest.size === "number" ? rest.size : "shortest_edge" in rest.size && rest.size.shortest_edge;
  const crops = rest.do_center_crop ?? !siglip;
  const crop = typeof rest.crop_size === "number" ? rest.crop_size : rest.crop_size?.height;
  const side = shortest === false ? (rest.size as z.output<typeof square>).height : shortest;
  const squash = shortest === false || (siglip && !crops);
  if (side !== imageSize || (crops && !squash && (crop ?? side) !== imageSize)) {
    const asked = `${path} resizes to ${side}${crops && crop ? ` and crops to ${crop}` : ""}`;
    throw new ClipError(
      "CLIP_CONFIG",
      `${asked}, and the model reads ${imageSize} pixels; only equal sizes are supported`,
    );
  }
  return {
    imageSize,
    mean: mean ?? family.mean,
    std: std ?? family.std,
    resample: filters[resample],
    resizeMode: squash ? "squash" : "shortest",
  };
}

const hiddenActs = { quickGelu: "quick_gelu", gelu: "gelu", geluTanh: "gelu_pytorch_tanh" } as const;

/**
 * `config.json` for a model.
 *
 * @throws {ClipError} `CLIP_CONFIG` if their configuration cannot say what the model is.
 */
export function toHuggingFaceConfig(config: ClipConfig): object {
  const { vision, text, embedDim, layerNormEpsilon = 1e-5 } = config;
  if (vision.kind === "resnet")
    throw new ClipError("CLIP_CONFIG", "Hugging Face's CLIPModel has no ResNets; convert it to openai or open_clip");
  const siglip = config.score === "sigmoid";
  const tower = ({ width, layers, heads, mlpWidth = 4 * width }: TransformerConfig, activation: Activation) => ({
    hidden_size: width,
    intermediate_size: mlpWidth,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    hidden_act: hiddenActs[activation],
    layer_norm_eps: layerNormEpsilon,
  });
  const [type, architecture] = siglip ? ["siglip", "SiglipModel"] : ["clip", "CLIPModel"];
  const json = {
    architectures: [architecture],
    model_type: type,
    torch_dtype: "float32",
    ...(!siglip && { projection_dim: embedDim, logit_scale_init_value: 2.6592 }),
    vision_config: {
      model_type: `${type}_vision_model`,
      ...tower(vision, config.activation),
      patch_size: vision.patchSize,
      image_size: vision.imageSize,
      ...(!siglip && { projection_dim: embedDim }),
    },
    text_config: {
      model_type: `${type}_text_model`,
      ...tower(text, text.activation ?? config.activation),
      vocab_size: text.vocabSize,
      max_position_embeddings: text.contextLength,
      ...(siglip
        ? { projection_size: embedDim }
        : {
            projection_dim: embedDim,
            // The marks are the last two of the vocabulary; the padding is never read.
            ...{ bos_token_id: text.vocabSize - 2, eos_token_id: text.vocabSize - 1, pad_token_id: text.vocabSize - 1 },
          }),
    },
  };
  refuseUnlessEqual(huggingFaceConfig(json, "config.json"), config, "Hugging Face's config.json");
  return json;
}

/** `preprocessor_config.json` for a model. */
export function toHuggingFacePreprocess({ imageSize, mean, std, resample, resizeMode }: PreprocessConfig): object {
  const square = { height: imageSize, width: imageSize };
  const squash = resizeMode === "squash";
  return {
    image_processor_type: squash ? "SiglipImageProcessor" : "CLIPImageProcessor",
    do_convert_rgb: true,
    do_resize: true,
    size: squash ? square : { shortest_edge: imageSize },
    ...(!squash && { do_center_crop: true, crop_size: square }),
    resample: resample === "bilinear" ? 2 : 3,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}
