import { z } from "zod";
import { ClipError } from "../../../core/errors.ts";
import { parseStrict } from "../../../core/parse.ts";
import { clipPreprocess, type PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import type { ClipConfig, TransformerConfig } from "../../towers/config.ts";
import type { Activation } from "../../nn/layers.ts";
import { size } from "../config-schema.ts";
import { refuseUnlessEqual } from "./differences.ts";
import { accountedObject, side, sideOf, unsupported, writtenAs } from "./known-keys.ts";

/** Hugging Face's activation names to ours. */
const activations = { quick_gelu: "quickGelu", gelu: "gelu", gelu_pytorch_tanh: "geluTanh" } as const;

const hiddenAct = z.enum(Object.keys(activations) as [keyof typeof activations]);

/** Size of OpenAI's vocabulary. */
const publishedVocabSize = 49_408;

/** Keys of a tower. Hugging Face's classes omit values that equal their defaults. */
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
  num_key_value_heads: size(1_024).optional(),
});

const clipTower = { hidden_act: "quick_gelu", layer_norm_eps: 1e-5 } as const;
const siglipTower = {
  ...{ hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
  ...({ hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 } as const),
};
/** Keys for training, text generation and bookkeeping do not affect inference, nor do keys that Hugging Face's classes ignore. */
const others = {
  harmless: /^_|dropout|drop_path|initializer|init_value|_token_id$|^(model_type|dtype|torch_dtype|top_k|top_p)$/,
  others: "ignored",
} as const;

/** Unsupported keys that would change the result. */
const refused = {
  quantization_config: unsupported("quantized weights are not supported; save the model as float16 or float32"),
  pruned_heads: z.strictObject({}, "pruned attention heads are not supported").optional(),
};

const vision = (patchSize: number) => ({
  image_size: side.default(224),
  patch_size: side.default(patchSize),
  num_channels: z.literal(3).default(3),
  ...refused,
});
const text = (vocabSize: number, contextLength: number) => ({
  vocab_size: size(10_000_000).default(vocabSize),
  max_position_embeddings: size(65_536).default(contextLength),
  ...refused,
});

const clipSchema = accountedObject(
  {
    projection_dim: size(65_536).default(512),
    vision_config: accountedObject(
      { ...tower({ ...clipTower, hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 }), ...vision(32) },
      others,
    ).prefault({}),
    text_config: accountedObject(
      {
        ...tower({ ...clipTower, hidden_size: 512, intermediate_size: 2048, num_attention_heads: 8 }),
        ...text(publishedVocabSize, 77),
        // The legacy value 2 means the position of the largest id.
        eos_token_id: z.int().default(publishedVocabSize - 1),
      },
      others,
    ).prefault({}),
    ...refused,
  },
  others,
);
const siglipSchema = accountedObject(
  {
    vision_config: accountedObject(
      {
        ...{ ...tower(siglipTower), ...vision(16) },
        vision_use_head: z.literal(true, "a SigLIP without its pooling head is not supported").optional(),
      },
      others,
    ).prefault({}),
    text_config: accountedObject(
      { ...tower(siglipTower), ...text(32_000, 64), projection_size: size(65_536).optional() },
      others,
    ).prefault({}),
    ...refused,
  },
  others,
);

interface Tower {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
}

/** Whether a `config.json` is Hugging Face's: ours has no `model_type`. */
export function isHuggingFaceConfig(
  json: unknown,
): json is { readonly model_type: unknown; readonly [key: string]: unknown } {
  return typeof json === "object" && json !== null && "model_type" in json;
}

/**
 * Reads the architecture from a `config.json` of Hugging Face's `CLIPModel` or `SiglipModel` (SigLIP, and SigLIP 2 at a fixed
 * resolution).
 *
 * @throws {ClipError} `CLIP_CONFIG` if it is for another model, or needs something unsupported.
 */
export function huggingFaceConfig(
  json: { readonly model_type: unknown; readonly [key: string]: unknown },
  path: string,
): ClipConfig {
  if (json.model_type !== "clip" && json.model_type !== "siglip") {
    const met = `${path} has model_type ${JSON.stringify(json.model_type)}`;
    throw new ClipError(
      "CLIP_CONFIG",
      `${met}; supported are clip and siglip (including SigLIP 2 at a fixed resolution)`,
    );
  }
  const siglip = json.model_type === "siglip";
  const config = parseStrict(siglip ? siglipSchema : clipSchema, siglip ? json : withOlderTowers(json), path);
  const { vision_config: vision, text_config: text } = config;
  const refuse = (problem: string) => new ClipError("CLIP_CONFIG", `${path}: ${problem}`);
  if (vision.layer_norm_eps !== text.layer_norm_eps)
    throw refuse("the towers' layer_norm_eps differ; only equal ones are supported");
  for (const { num_key_value_heads: shared, num_attention_heads: heads } of [vision, text])
    if (shared !== undefined && shared !== heads)
      throw refuse(`num_key_value_heads ${shared} is not supported; it must equal the number of heads, ${heads}`);
  if ("eos_token_id" in text && text.vocab_size === publishedVocabSize) {
    const { eos_token_id: end } = text;
    if (end !== 2 && end !== publishedVocabSize - 1)
      throw refuse(`text_config.eos_token_id ${end} is not supported: CLIP's vocabulary ends texts with 49407`);
  }
  const activation = activations[vision.hidden_act];
  const textActivation = activations[text.hidden_act];
  return {
    embedDim: "projection_dim" in config ? config.projection_dim : vision.hidden_size,
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

/**
 * Older CLIP files repeat a tower as `text_config_dict` or `vision_config_dict`, which then replaces the other entirely
 * (`CLIPConfig.__init__` of transformers).
 */
function withOlderTowers(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { text_config_dict, vision_config_dict, ...rest } = json;
  return {
    ...rest,
    text_config: text_config_dict ?? rest.text_config,
    vision_config: vision_config_dict ?? rest.vision_config,
  };
}

function sizes({ hidden_size: width, num_hidden_layers: layers, num_attention_heads: heads, ...tower }: Tower) {
  const { intermediate_size: mlpWidth } = tower;
  return { width, layers, heads, ...(mlpWidth !== 4 * width && { mlpWidth }) };
}

/** Three channels; a single number applies to all. */
const rgb = (channel: z.ZodNumber, wanted: string) =>
  writtenAs((value) => {
    const { data } = z
      .tuple([channel, channel, channel])
      .safeParse(typeof value === "number" ? Array(3).fill(value) : value);
    return data;
  }, wanted);

/** Target of resizing. A bare number means the shortest edge or a square, depending on the processor. */
const target = writtenAs((value) => {
  const { shortest_edge, ...rest } = typeof value === "object" ? (value as Readonly<Record<string, unknown>>) : {};
  const shortest = Object.keys(rest).length === 0 && typeof shortest_edge === "number" && sideOf(shortest_edge);
  if (shortest) return { kind: "shortest" as const, side: shortest };
  const side = sideOf(value);
  return side === undefined ? undefined : { kind: typeof value === "number" ? "number" : "square", side };
}, "the shortest edge or a square");

/** Pillow's codes and names of filters. */
const filters = new Map<unknown, PreprocessConfig["resample"]>([
  [2, "bilinear"],
  [3, "bicubic"],
  ["bilinear", "bilinear"],
  ["bicubic", "bicubic"],
]);
const filter = writtenAs(
  (value) => filters.get(typeof value === "string" ? value.toLowerCase() : value),
  "bilinear (2) or bicubic (3)",
);

const half = [0.5, 0.5, 0.5] as const;
const siglipPreprocess = { mean: half, std: half, resample: "bicubic", resizeMode: "squash" } as const;

/** Processors with the same steps: resize, crop, rescale, normalize. */
const processors =
  /^(CLIP|Siglip|ViT|Bit|DeiT|Blip|EfficientFormer|PoolFormer|LevitImage|MobileCLIP)?(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/;

const processorType = writtenAs(
  (value) => (typeof value === "string" && processors.test(value) ? value : undefined),
  "CLIP's, SigLIP's, or one with the same steps",
).optional();

const preprocessorSchema = accountedObject(
  {
    image_processor_type: processorType,
    feature_extractor_type: processorType,
    do_resize: z.literal(true, "images that are not resized are not supported").default(true),
    size: target.optional(),
    default_to_square: z.boolean().default(false),
    use_square_size: z.boolean().default(false),
    resample: filter.optional(),
    do_center_crop: z.boolean().optional(),
    crop_size: side.optional(),
    crop_pct: unsupported("a share of the image to crop is not supported; only crop_size is"),
    do_rescale: z.boolean().default(true),
    rescale_factor: z
      .number()
      .positive()
      .default(1 / 255),
    do_normalize: z.boolean().default(true),
    image_mean: rgb(z.number(), "three numbers").optional(),
    image_std: rgb(z.number().positive(), "three positive numbers").optional(),
    pad_size: unsupported("padding is not supported"),
  },
  {
    // Colours are always converted, and images of equal size need no padding.
    harmless:
      /^(_.*|do_convert_rgb|do_pad|processor_class|auto_map|tokenizer_class|model_input_names|(input_)?data_format|device|disable_grouping|return_tensors|image_seq(_len|uence)?(_length)?|transformers_version)$/,
    others: "refused",
  },
);

/**
 * Reads the preprocessing from `preprocessor_config.json` or from the image processor in `processor_config.json`.
 *
 * @param json - undefined if the folder has no such file: the defaults of CLIP or SigLIP apply.
 * @throws {ClipError} `CLIP_CONFIG` if it needs something unsupported, or another image size than the model's.
 */
export function huggingFacePreprocess(json: unknown, config: ClipConfig, path: string): PreprocessConfig {
  const { imageSize } = config.vision;
  const siglip = config.score === "sigmoid";
  if (json === undefined) return { ...(siglip ? siglipPreprocess : clipPreprocess), imageSize };
  const said = parseStrict(preprocessorSchema, json, path);
  const refuse = (problem: string) => new ClipError("CLIP_CONFIG", `${path}: ${problem}`);
  const type = said.image_processor_type ?? said.feature_extractor_type ?? (siglip ? "Siglip" : "CLIP");
  const [isSiglip, isClip] = [type.startsWith("Siglip"), type.startsWith("CLIP")];
  const family = isSiglip ? siglipPreprocess : clipPreprocess;
  const missing = (["size", "resample", "image_mean", "image_std"] as const).filter((key) => said[key] === undefined);
  if (!isSiglip && !isClip && missing.length > 0)
    throw refuse(`${type} lacks ${missing.join(", ")}, whose defaults are unknown; add them`);

  const { kind, side } = said.size ?? { kind: isSiglip ? "square" : "shortest", side: 224 };
  const { default_to_square, use_square_size, do_center_crop: crops = isClip || said.crop_size !== undefined } = said;
  const squash = kind === "square" || (kind === "number" && (!isClip || default_to_square || use_square_size));
  if (!squash && !crops)
    throw refuse("resizing the shortest edge without do_center_crop gives non-square images, which are not supported");
  const crop = crops ? (said.crop_size ?? side) : undefined;
  if (side !== imageSize || (crop ?? side) !== imageSize) {
    const asked = `${path} resizes to ${side}${crop === undefined ? "" : ` and crops to ${crop}`}`;
    const both = `${asked}, but the model needs ${imageSize} pixels`;
    throw new ClipError("CLIP_CONFIG", `${both}; only equal sizes are supported`);
  }
  const { image_mean = family.mean, image_std = family.std } = said;
  const [mean, std] = said.do_normalize ? [image_mean, image_std] : [[0, 0, 0] as const, [1, 1, 1] as const];
  // Our mean and std are for values up to 1, theirs for values up to 255 · rescale_factor.
  const range = said.do_rescale ? 255 * said.rescale_factor : 255;
  const scaled = ([r, g, b]: PreprocessConfig["mean"]) => [r / range, g / range, b / range] as const;
  const isUsual = Math.abs(range - 1) < 1e-6;
  return {
    imageSize,
    mean: isUsual ? mean : scaled(mean),
    std: isUsual ? std : scaled(std),
    resample: said.resample ?? family.resample,
    resizeMode: squash ? "squash" : "shortest",
  };
}

const hiddenActs = { quickGelu: "quick_gelu", gelu: "gelu", geluTanh: "gelu_pytorch_tanh" } as const;

/**
 * Hugging Face's `config.json` for a model.
 *
 * @throws {ClipError} `CLIP_CONFIG` if it cannot express the architecture.
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
            // Start and end of text are the last two ids; the padding is never read.
            ...{ bos_token_id: text.vocabSize - 2, eos_token_id: text.vocabSize - 1, pad_token_id: text.vocabSize - 1 },
          }),
    },
  };
  refuseUnlessEqual(huggingFaceConfig(json, "config.json"), config, "Hugging Face's config.json");
  return json;
}

/** Hugging Face's `preprocessor_config.json` for a model. */
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
