import { z } from "zod";
import { ClipError } from "../../../core/errors.ts";
import { parseStrict } from "../../../core/parse.ts";
import { clipPreprocess, type PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import type { Activation } from "../../nn/layers.ts";
import { type ClipConfig, type ResNetConfig, type VitConfig } from "../../towers/config.ts";
import { clipConfigs } from "../../towers/configs.ts";
import { clipConfigSchema, size } from "../config-schema.ts";
import { differences, refuseUnlessEqual } from "./differences.ts";
import { accountedObject, off, side, unsupported } from "./known-keys.ts";

const ratio = z.number().positive().max(64).default(4);
const actKwargs = z.strictObject({ approximate: z.enum(["tanh", "none"]).default("none") }).optional();
const normKwargs = z.strictObject({ eps: z.number().positive().max(1).default(1e-5) }).optional();
/** A key whose other values are unsupported. */
const only = <Value extends string>(value: Value) => z.literal(value).optional();

const trunkKwargs = z
  .strictObject({
    img_size: side.optional(),
    patch_size: side.optional(),
    embed_dim: size(65_536).optional(),
    depth: size(1_000).optional(),
    num_heads: size(1_024).optional(),
    mlp_ratio: z.number().positive().max(64).optional(),
    act_layer: z.enum(["gelu", "gelu_tanh", "quick_gelu"]).optional(),
  })
  .default({});

/** Unsupported variants of Transformer blocks. */
const variants = {
  block_type: only("default"),
  ...{ ls_init_value: off, qk_norm: off, scaled_cosine_attn: off, scale_heads: off, scale_attn_inner: off },
  ...{ scale_attn: off, scale_fc: off, final_ln_after_pool: off },
};

const visionSchema = accountedObject(
  {
    image_size: side.default(224),
    layers: z.union([size(1_000), z.tuple([size(1_000), size(1_000), size(1_000), size(1_000)])]).default(12),
    width: size(65_536).default(768),
    patch_size: side.default(16),
    head_width: size(65_536).default(64),
    mlp_ratio: ratio,
    act_kwargs: actKwargs,
    norm_kwargs: normKwargs,
    pos_embed_type: only("learnable"),
    pool_type: only("tok"),
    timm_model_name: z.string().optional(),
    timm_model_kwargs: trunkKwargs,
    timm_pool: z.string().optional(),
    timm_proj: z.string().optional(),
    ...{ timm_proj_bias: off, attentional_pool: off, no_ln_pre: off, input_patchnorm: off, global_average_pool: off },
    ...variants,
  },
  // Only relevant in training, or with an unsupported feature.
  {
    harmless: /^(patch_dropout|timm_drop(_path)?|timm_model_pretrained|attn_pooler_\w+|output_tokens)$/,
    others: "refused",
  },
);

const textSchema = accountedObject(
  {
    context_length: size(65_536).default(77),
    vocab_size: size(10_000_000).default(49_408),
    width: size(65_536).default(512),
    heads: size(1_024).default(8),
    layers: size(1_000).default(12),
    mlp_ratio: ratio,
    act_kwargs: actKwargs,
    norm_kwargs: normKwargs,
    no_causal_mask: z.boolean().default(false),
    pool_type: z.enum(["argmax", "last"]).default("argmax"),
    proj_bias: z.boolean().default(false),
    proj_type: only("linear"),
    hf_model_name: z.string().max(0, "a Hugging Face text tower is not supported").optional(),
    embed_cls: off,
    hf_tokenizer_name: z.string().optional(),
    tokenizer_mode: unsupported("is not supported"),
    tokenizer_kwargs: accountedObject(
      { clean: z.enum(["canonicalize", "lower", "whitespace"]).or(z.literal("")).optional() },
      { harmless: /^_/, others: "refused" },
    ).optional(),
    ...variants,
  },
  // Only relevant with an unsupported mask, pooling or `hf_model_name`.
  { harmless: /^(pad_id|eos_id|output_tokens|hf_model_pretrained|hf_proj_type|hf_pooler_type)$/, others: "refused" },
);

const modelSchema = accountedObject(
  {
    embed_dim: size(65_536),
    quick_gelu: z.boolean().default(false),
    init_logit_bias: z.number().optional(),
    vision_cfg: visionSchema,
    text_cfg: textSchema,
    multimodal_cfg: unsupported("a caption decoder (CoCa) is not supported"),
  },
  { harmless: /^(_.*|custom_text|init_logit_scale|nonscalar_logit_scale|cast_dtype|output_dict)$/, others: "refused" },
);

const configSchema = accountedObject(
  {
    model_cfg: modelSchema,
    preprocess_cfg: accountedObject(
      {
        size: side.optional(),
        mode: z.literal("RGB").optional(),
        mean: z.tuple([z.number(), z.number(), z.number()]).optional(),
        std: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]).optional(),
        interpolation: z.enum(["bicubic", "bilinear"]).default("bicubic"),
        resize_mode: z.enum(["shortest", "squash"]).default("shortest"),
      },
      // Neither resize mode leaves a margin to fill.
      { harmless: /^(_.*|fill_color)$/, others: "refused" },
    ).prefault({}),
  },
  // A file may have further keys, such as the model's name.
  { harmless: /^_/, others: "ignored" },
);

/** Whether JSON is an open_clip configuration: one published with a model, or a bare architecture from its `model_configs`. */
export function isOpenClipConfig(json: unknown): json is object {
  if (typeof json !== "object" || json === null) return false;
  return "model_cfg" in json || ("vision_cfg" in json && "text_cfg" in json);
}

/** Wraps a bare architecture like a configuration published with a model. */
function asPublished(json: object): object {
  return "model_cfg" in json ? json : { model_cfg: json };
}

/** SigLIP's image towers in timm, `vit_<size>_patch<P>_siglip_<S>`; `imageSizes` maps P to the existing S. */
const trunks: Readonly<
  Record<
    string,
    Pick<VitConfig, "width" | "layers" | "heads" | "mlpWidth"> & {
      readonly imageSizes: Readonly<Record<number, readonly number[]>>;
    }
  >
> = {
  base: { width: 768, layers: 12, heads: 12, imageSizes: { 16: [224, 256, 384, 512], 32: [256] } },
  large: { width: 1024, layers: 24, heads: 16, imageSizes: { 16: [256, 384, 512] } },
  so400m: {
    ...{ width: 1152, layers: 27, heads: 16, mlpWidth: 4304 },
    imageSizes: { 14: [224, 378, 384], 16: [256, 384, 512] },
  },
  giantopt: { width: 1536, layers: 40, heads: 16, imageSizes: { 16: [256, 384] } },
};
/** The GELU of a SigLIP image tower in timm: some have the tanh approximation, the others the exact one. */
function trunkActivation(name: string): Activation {
  const tanh =
    /^vit_(base_patch32_siglip_256|large_patch16_siglip_512|so400m_patch16_siglip_\d+|giantopt_patch\d+_siglip_\d+)$/;
  return tanh.test(name) ? "geluTanh" : "gelu";
}

/**
 * Reads the architecture and the preprocessing from an `open_clip_config.json`.
 *
 * @throws {ClipError} `CLIP_CONFIG` if it has unsupported towers or options.
 * @see {@link https://github.com/mlfoundations/open_clip | open_clip} `src/open_clip/model.py`, whose defaults these are.
 */
export function openClipConfig(json: object, path: string): { config: ClipConfig; preprocess: PreprocessConfig } {
  const { model_cfg: model, preprocess_cfg: images } = parseStrict(configSchema, asPublished(json), path);
  const { vision_cfg: vision, text_cfg: text } = model;
  const activationOf = (kwargs: z.output<typeof actKwargs>): Activation => {
    if (model.quick_gelu) return "quickGelu";
    return kwargs?.approximate === "tanh" ? "geluTanh" : "gelu";
  };
  const trunk = vision.timm_model_name ? timmTrunk(vision, path) : undefined;
  const activation = trunk?.activation ?? activationOf(vision.act_kwargs);
  const textActivation = activationOf(text.act_kwargs);
  const epsilons = [trunk ? 1e-6 : (vision.norm_kwargs?.eps ?? 1e-5), text.norm_kwargs?.eps ?? 1e-5];
  if (epsilons[0] !== epsilons[1])
    throw new ClipError("CLIP_CONFIG", `${path}: the towers' layer norms differ in eps; only equal ones are supported`);
  const config: ClipConfig = parseStrict(
    clipConfigSchema,
    {
      embedDim: model.embed_dim,
      activation,
      ...(typeof model.init_logit_bias === "number" && { score: "sigmoid" }),
      ...(epsilons[0] !== 1e-5 && { layerNormEpsilon: epsilons[0] }),
      vision: trunk?.vision ?? (Array.isArray(vision.layers) ? resNet(vision) : vit(vision)),
      text: {
        contextLength: text.context_length,
        vocabSize: text.vocab_size,
        ...{ width: text.width, layers: text.layers, heads: text.heads },
        ...mlp(text.width, text.mlp_ratio),
        ...(textActivation !== activation && { activation: textActivation }),
        ...(text.no_causal_mask && { causal: false }),
        ...(text.pool_type === "last" && { pool: "last" }),
        ...(text.proj_bias && { projectionBias: true }),
      },
    },
    path,
  );
  if (images.size !== undefined && images.size !== config.vision.imageSize) {
    const both = `preprocess_cfg.size ${images.size} differs from the model's image size, ${config.vision.imageSize}`;
    throw new ClipError("CLIP_CONFIG", `${path}: ${both}; only equal sizes are supported`);
  }
  const half = [0.5, 0.5, 0.5] as const;
  return {
    config,
    preprocess: {
      imageSize: config.vision.imageSize,
      mean: images.mean ?? (trunk ? half : clipPreprocess.mean),
      std: images.std ?? (trunk ? half : clipPreprocess.std),
      resample: images.interpolation,
      resizeMode: images.resize_mode,
    },
  };
}

const tokenizerSchema = z.object({
  model_cfg: z.object({
    text_cfg: z.object({
      hf_tokenizer_name: z.string().nullish(),
      tokenizer_kwargs: z.object({ clean: z.string().nullish() }).nullish(),
    }),
  }),
});

/** A Hugging Face vocabulary in an open_clip configuration. */
export interface OpenClipTokenizer {
  /** Cleaning of texts before tokenization. */
  readonly cleaning: "canonicalize" | "lower" | "none";
  /** "organisation/name" on Hugging Face's hub, if known. */
  readonly repository: string | undefined;
}

/** Reads the Hugging Face vocabulary from an `open_clip_config.json`. */
export function openClipTokenizer(json: object): OpenClipTokenizer {
  const text = tokenizerSchema.safeParse(asPublished(json)).data?.model_cfg.text_cfg;
  const asked = text?.tokenizer_kwargs?.clean;
  const cleaning = asked === "canonicalize" || asked === "lower" ? asked : "none";
  return { cleaning, repository: text?.hf_tokenizer_name || undefined };
}

/** Hub repository with a published SigLIP's vocabulary, from open_clip's configs; undefined for other architectures. */
export function publishedVocabulary(config: ClipConfig): string | undefined {
  const { activation, text } = config;
  const known = Object.entries<ClipConfig>(clipConfigs).find(([, { score, ...other }]) => {
    // The first SigLIPs exist with either GELU.
    const same = {
      ...other,
      score,
      activation,
      text: { ...other.text, ...(text.activation && { activation: text.activation }) },
    };
    return score === "sigmoid" && differences(same, config).length === 0;
  });
  return known && `timm/${known[0]}`;
}

type Vision = z.output<typeof visionSchema>;

function mlp(width: number, ratio: number): { mlpWidth?: number } {
  return ratio === 4 ? {} : { mlpWidth: Math.trunc(width * ratio + 1e-6) };
}

function vit({ image_size, patch_size, width, layers, head_width, mlp_ratio }: Vision): VitConfig {
  const sizes = { width, layers: layers as number, heads: width / head_width };
  return { kind: "vit", imageSize: image_size, patchSize: patch_size, ...sizes, ...mlp(width, mlp_ratio) };
}

function resNet({ image_size, width, layers, head_width }: Vision): ResNetConfig {
  const stages = layers as number[];
  const heads = (width * 32) / head_width;
  return { kind: "resnet", imageSize: image_size, width, layers: stages, heads, norm: "batch" };
}

function timmTrunk(
  { timm_model_name, timm_model_kwargs: own, timm_pool, timm_proj, image_size }: Vision,
  path: string,
): { vision: VitConfig; activation: Activation } {
  const [name = "", kind = "", patch] = /^vit_(\w+?)_patch(\d+)_siglip_\d+$/.exec(timm_model_name!) ?? [];
  const known = Object.hasOwn(trunks, kind) ? trunks[kind] : undefined;
  if (!known || (timm_pool ?? "map") !== "map" || (timm_proj ?? "none") !== "none") {
    const what = `${timm_model_name} with pool ${timm_pool} and projection ${timm_proj}`;
    throw new ClipError(
      "CLIP_CONFIG",
      `${path}: the image tower ${what} is not supported; timm's SigLIP towers are (vit_*_siglip_*, map, none)`,
    );
  }
  const width = own.embed_dim ?? known.width;
  const acts = { gelu: "gelu", gelu_tanh: "geluTanh", quick_gelu: "quickGelu" } as const;
  return {
    vision: {
      kind: "vit",
      imageSize: own.img_size ?? image_size,
      patchSize: own.patch_size ?? Number(patch),
      width,
      layers: own.depth ?? known.layers,
      heads: own.num_heads ?? known.heads,
      ...(own.mlp_ratio === undefined ? known.mlpWidth && { mlpWidth: known.mlpWidth } : mlp(width, own.mlp_ratio)),
      pool: "probe",
    },
    activation: own.act_layer ? acts[own.act_layer] : trunkActivation(name),
  };
}

/**
 * open_clip's `open_clip_config.json` for a model.
 *
 * @param tokenizer - a vocabulary other than CLIP's, which open_clip fetches.
 * @throws {ClipError} `CLIP_CONFIG` if it cannot express the architecture.
 */
export function toOpenClipConfig(
  config: ClipConfig,
  preprocess: PreprocessConfig,
  { cleaning, repository }: OpenClipTokenizer = { cleaning: "none", repository: undefined },
): object {
  const { vision, text, activation, layerNormEpsilon } = config;
  const norm_kwargs = layerNormEpsilon === undefined ? {} : { norm_kwargs: { eps: layerNormEpsilon } };
  const act_kwargs = (of: Activation) => (of === "geluTanh" ? { act_kwargs: { approximate: "tanh" } } : {});
  const siglip = vision.kind === "vit" && vision.pool === "probe";
  const { width, layers, heads, mlpWidth = 4 * text.width } = text;
  const json = {
    model_cfg: {
      embed_dim: config.embedDim,
      ...(activation === "quickGelu" && { quick_gelu: true }),
      ...(config.score === "sigmoid" && { init_logit_bias: -10, custom_text: true }),
      vision_cfg: siglip
        ? toTrunk(vision, activation)
        : {
            image_size: vision.imageSize,
            layers: vision.layers,
            width: vision.width,
            ...(vision.kind === "vit"
              ? {
                  patch_size: vision.patchSize,
                  head_width: vision.width / vision.heads,
                  mlp_ratio: (vision.mlpWidth ?? 4 * vision.width) / vision.width,
                  ...{ ...norm_kwargs, ...act_kwargs(activation) },
                }
              : { head_width: (vision.width * 32) / vision.heads }),
          },
      text_cfg: {
        ...{ context_length: text.contextLength, vocab_size: text.vocabSize, width, heads, layers },
        mlp_ratio: mlpWidth / width,
        ...(repository !== undefined && { hf_tokenizer_name: repository }),
        ...(cleaning !== "none" && { tokenizer_kwargs: { clean: cleaning } }),
        ...(text.causal === false && { no_causal_mask: true }),
        ...(text.pool === "last" && { pool_type: "last" }),
        ...(text.projectionBias && { proj_bias: true }),
        ...{ ...norm_kwargs, ...act_kwargs(text.activation ?? activation) },
      },
    },
    preprocess_cfg: {
      size: [preprocess.imageSize, preprocess.imageSize],
      mode: "RGB",
      mean: preprocess.mean,
      std: preprocess.std,
      interpolation: preprocess.resample,
      resize_mode: preprocess.resizeMode ?? "shortest",
      fill_color: 0,
    },
  };
  refuseUnlessEqual(openClipConfig(json, "open_clip_config.json").config, config, "open_clip_config.json");
  return json;
}

/** The closest tower in timm with its differing settings: open_clip requests it from timm by name. */
function toTrunk(vision: VitConfig, activation: Activation): object {
  const { width, layers, heads, imageSize, patchSize, mlpWidth = 4 * width } = vision;
  const kind = Object.keys(trunks).find((name) => trunks[name]!.width === width) ?? "base";
  const { imageSizes, ...named } = trunks[kind]!;
  const patch = patchSize in imageSizes ? patchSize : 16;
  const sizes = imageSizes[patch]!;
  const size = sizes.includes(imageSize) ? imageSize : sizes[0]!;
  const name = `vit_${kind}_patch${patch}_siglip_${size}`;
  const acts = { gelu: "gelu", geluTanh: "gelu_tanh", quickGelu: "quick_gelu" } as const;
  const own = {
    ...(imageSize !== size && { img_size: imageSize }),
    ...(patchSize !== patch && { patch_size: patchSize }),
    ...(width !== named.width && { embed_dim: width }),
    ...(layers !== named.layers && { depth: layers }),
    ...(heads !== named.heads && { num_heads: heads }),
    ...(mlpWidth / width !== (named.mlpWidth ?? 4 * named.width) / named.width && { mlp_ratio: mlpWidth / width }),
    ...(activation !== trunkActivation(name) && { act_layer: acts[activation] }),
  };
  return {
    image_size: imageSize,
    timm_model_name: name,
    timm_model_pretrained: false,
    timm_pool: "map",
    timm_proj: "none",
    ...(Object.keys(own).length > 0 && { timm_model_kwargs: own }),
  };
}
