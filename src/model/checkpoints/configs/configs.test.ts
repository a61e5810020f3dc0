import { describe, expect, it } from "vitest";
import { clipPreprocess } from "../../../inputs/image/preprocess-config.ts";
import { type ClipConfig } from "../../towers/config.ts";
import { clipConfigs } from "../../towers/configs.ts";
import { countParameters } from "../../nn/parameters.ts";
import { clipParameters } from "../../towers/parameters.ts";
import { huggingFaceConfig, huggingFacePreprocess } from "./hugging-face.ts";
import {
  isOpenClipConfig,
  openClipConfig,
  openClipTokenizer,
  publishedVocabulary,
  toOpenClipConfig,
} from "./open-clip.ts";

const half = [0.5, 0.5, 0.5];

describe("Hugging Face's config.json", () => {
  it("is ViT-B/32 where it says nothing but that it is a CLIP", () => {
    expect(huggingFaceConfig({ model_type: "clip" }, "config.json")).toEqual(clipConfigs["ViT-B-32-quickgelu"]);
  });

  // google/siglip-base-patch16-224 leaves out all that is at its default; 203,155,970 parameters, logit scale and bias included.
  it("is SigLIP's base model where it says nothing but that it is one", () => {
    const config = huggingFaceConfig({ model_type: "siglip", text_config: {}, vision_config: {} }, "config.json");
    expect(config).toEqual({
      embedDim: 768,
      activation: "geluTanh",
      score: "sigmoid",
      layerNormEpsilon: 1e-6,
      vision: { kind: "vit", imageSize: 224, patchSize: 16, width: 768, layers: 12, heads: 12, pool: "probe" },
      text: {
        ...{ contextLength: 64, vocabSize: 32_000, width: 768, layers: 12, heads: 12 },
        ...{ causal: false, pool: "last", projectionBias: true },
      },
    });
    expect(countParameters(clipParameters(config))).toBe(203_155_970);
  });

  it("gives each tower its own activation and width of MLPs", () => {
    const config = huggingFaceConfig(
      {
        model_type: "siglip",
        vision_config: { hidden_size: 1152, intermediate_size: 4304, num_hidden_layers: 27, num_attention_heads: 16 },
        text_config: { hidden_act: "gelu" },
      },
      "config.json",
    );
    expect(config.vision).toMatchObject({ width: 1152, layers: 27, heads: 16, mlpWidth: 4304 });
    expect(config.text.activation).toBe("gelu");
  });

  it("of another model, or with an activation that nobody knows, is refused by name", () => {
    expect(() => huggingFaceConfig({ model_type: "siglip2" }, "config.json")).toThrow(
      /has model_type "siglip2"; supported are clip and siglip/,
    );
    const vision_config = { hidden_act: "relu" };
    expect(() => huggingFaceConfig({ model_type: "clip", vision_config }, "config.json")).toThrow(
      /vision_config\.hidden_act: "relu" is unknown; did you mean "gelu"/,
    );
  });
});

describe("keys of Hugging Face's config.json", () => {
  const read = (json: object) => huggingFaceConfig({ model_type: "clip", ...json }, "config.json");

  it("text_config_dict and vision_config_dict win, with the defaults for what they leave out", () => {
    const config = read({
      text_config: { hidden_size: 256, num_hidden_layers: 3, layer_norm_eps: 1e-6 },
      text_config_dict: { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
      vision_config: { image_size: 224, patch_size: 16 },
      vision_config_dict: { image_size: 336, patch_size: 14 },
    });
    expect(config.text).toMatchObject({ width: 768, layers: 12, heads: 12 });
    expect(config.layerNormEpsilon).toBeUndefined();
    expect(config.vision).toMatchObject({ imageSize: 336, patchSize: 14 });
    const none = { text_config_dict: null, vision_config_dict: null, text_config: { num_hidden_layers: 3 } };
    expect(read(none).text.layers).toBe(3);
  });

  it("that count in training, generation or nowhere are no matter", () => {
    const tower = {
      ...{ attention_dropout: 0.1, dropout: 0.1, initializer_range: 0.02, initializer_factor: 1, use_bfloat16: false },
      ...{ bos_token_id: 0, pad_token_id: 1, eos_token_id: 2, num_beams: 1, top_k: 50, pruned_heads: {}, id2label: {} },
      ...{
        output_attentions: false,
        torch_dtype: null,
        _name_or_path: "",
        projection_dim: 64,
        chunk_size_feed_forward: 0,
      },
    };
    const json = {
      vision_config: tower,
      text_config: tower,
      architectures: ["CLIPModel"],
      logit_scale_init_value: 2.6592,
    };
    expect(read({ ...json, transformers_version: null, dtype: "float32", "transformers.js_config": {} })).toEqual(
      clipConfigs["ViT-B-32-quickgelu"],
    );
  });

  it.each([
    [{ vision_config: { num_channels: 1 } }, /vision_config\.num_channels/],
    [{ quantization_config: { load_in_8bit: true } }, /quantization_config: quantized weights are not supported/],
    [{ text_config: { pruned_heads: { 1: [2] } } }, /pruned_heads/],
    [{ text_config: { eos_token_id: 7 } }, /text_config\.eos_token_id 7 is not supported/],
    [
      { vision_config: { num_key_value_heads: 2 } },
      /num_key_value_heads 2 is not supported; it must equal the number of heads, 12/,
    ],
    [{ vision_config: { image_size: [224, 200] } }, /vision_config\.image_size: must be the side of a square/],
    [{ text_config: { layer_norm_eps: 1e-6 } }, /layer_norm_eps differ/],
    [{ text_config: { hiden_size: 256 } }, /text_config\.hiden_size is unknown/],
    [{ model_type: "siglip", vision_config: { vision_use_head: false } }, /without its pooling head is not supported/],
  ])("that are not supported are refused by name: %j", (json, message) => {
    expect(() => read(json)).toThrow(message);
  });
});

describe("Hugging Face's preprocessor_config.json", () => {
  const clip = clipConfigs["ViT-B-32-quickgelu"];
  const siglip = huggingFaceConfig({ model_type: "siglip" }, "config.json");

  it("resizes the shorter side and crops for CLIP, squashes for SigLIP", () => {
    const forClip = { size: { shortest_edge: 224 }, crop_size: { height: 224, width: 224 }, do_center_crop: true };
    expect(huggingFacePreprocess(forClip, clip, "p.json")).toEqual({ ...clipPreprocess, resizeMode: "shortest" });
    const forSiglip = { size: { height: 224, width: 224 }, resample: 2, image_mean: half, image_std: half };
    expect(huggingFacePreprocess(forSiglip, siglip, "p.json")).toEqual({
      ...{ imageSize: 224, mean: half, std: half, resample: "bilinear", resizeMode: "squash" },
    });
  });

  it("is the family's where the file is missing, and understands the older way to write sizes", () => {
    expect(huggingFacePreprocess(undefined, clip, "p.json")).toEqual(clipPreprocess);
    expect(huggingFacePreprocess(undefined, siglip, "p.json")).toMatchObject({ mean: half, resizeMode: "squash" });
    expect(huggingFacePreprocess({ size: 224, crop_size: 224 }, clip, "p.json").resizeMode).toBe("shortest");
  });

  it("counts values as it says: other ranges, and none that are standardised", () => {
    const size = { shortest_edge: 224 };
    const bare = huggingFacePreprocess({ size, do_normalize: false }, clip, "p.json");
    expect(bare).toMatchObject({ mean: [0, 0, 0], std: [1, 1, 1] });
    const none = { size, do_rescale: false, image_mean: [127.5, 127.5, 127.5], image_std: 255 };
    expect(huggingFacePreprocess(none, clip, "p.json")).toMatchObject({ mean: half, std: [1, 1, 1] });
    const double = { size, rescale_factor: 2 / 255, image_mean: 1, image_std: [1, 1, 1] };
    const { mean, std } = huggingFacePreprocess(double, clip, "p.json");
    for (const value of [...mean, ...std]) expect(value).toBeCloseTo(0.5, 12);
  });

  it.each([
    [{ size: 224 }, "shortest"],
    [{ size: 224, default_to_square: true }, "squash"],
    [{ size: 224, use_square_size: true }, "squash"],
    [{ size: [224, 224] }, "squash"],
    [{ size: { height: 224, width: 224 }, do_center_crop: false }, "squash"],
    [{ size: { height: 224, width: 224 }, crop_size: 224 }, "squash"],
    [{ crop_size: { height: 224, width: 224 } }, "shortest"],
    [{ size: { shortest_edge: 224 }, crop_size: null, do_center_crop: null }, "shortest"],
    [{ feature_extractor_type: "CLIPFeatureExtractor", size: 224 }, "shortest"],
    [{ image_processor_type: "CLIPImageProcessorFast", size: { shortest_edge: 224 } }, "shortest"],
    [{ image_processor_type: "SiglipImageProcessorFast", do_center_crop: null }, "squash"],
    [
      {
        ...{ image_processor_type: "ViTImageProcessor", size: 224, resample: "BILINEAR" },
        ...{ image_mean: 0.5, image_std: 0.5 },
      },
      "squash",
    ],
  ])("%j is %s", (json, resizeMode) => {
    expect(huggingFacePreprocess(json, clip, "p.json")).toMatchObject({ imageSize: 224, resizeMode });
  });

  it.each([
    [{ do_resize: false }, /p\.json .*do_resize: images that are not resized are not supported/s],
    [{ do_center_crop: false }, /p\.json: .*without do_center_crop gives non-square images/],
    [{ size: { longest_edge: 224 } }, /size: must be the shortest edge or a square, not \{"longest_edge":224\}/],
    [{ size: { shortest_edge: 224, longest_edge: 300 } }, /size: must be the shortest edge or a square/],
    [{ size: { height: 224, width: 200 } }, /size: must be the shortest edge or a square/],
    [{ crop_size: { height: 224, width: 200 } }, /crop_size: must be the side of a square/],
    [{ crop_size: 200 }, /resizes to 224 and crops to 200/],
    [{ crop_pct: 0.875 }, /crop_pct: a share of the image/],
    [{ resample: 1 }, /resample: must be bilinear \(2\) or bicubic \(3\), not 1/],
    [{ resample: "lanczos" }, /resample: must be bilinear \(2\) or bicubic \(3\), not "lanczos"/],
    [{ image_mean: [0.5, 0.5] }, /image_mean: must be three numbers/],
    [{ do_pad: true, pad_size: { height: 256, width: 256 } }, /pad_size: padding is not supported/],
    [{ do_flip_channel_order: true }, /do_flip_channel_order is unknown/],
    [{ offset: true }, /offset is unknown/],
    [{ image_processor_type: "EfficientNetImageProcessor" }, /image_processor_type: must be CLIP's, SigLIP's/],
    [{ image_processor_type: "ViTImageProcessor" }, /ViTImageProcessor lacks resample, image_mean, image_std/],
    [{ do_resiz: true }, /do_resiz is unknown; did you mean "do_resize"/],
  ])("that asks for what is not supported is refused by name: %j", (json, message) => {
    expect(() => huggingFacePreprocess({ size: { shortest_edge: 224 }, ...json }, clip, "p.json")).toThrow(message);
  });

  it("may hold what changes nothing", () => {
    const json = {
      ...{ size: { shortest_edge: 224 }, do_convert_rgb: true, do_pad: null, _processor_class: "CLIPProcessor" },
      ...{ data_format: "channels_first", device: null, disable_grouping: null, do_flip_channel_order: false },
      ...{ input_data_format: null, return_tensors: null, processor_class: "CLIPProcessor", pad_size: null },
    };
    expect(huggingFacePreprocess(json, clip, "p.json")).toEqual({ ...clipPreprocess, resizeMode: "shortest" });
  });

  it("of another size than the model's is refused", () => {
    expect(() => huggingFacePreprocess({ size: { shortest_edge: 256 }, crop_size: 224 }, clip, "p.json")).toThrow(
      /p\.json resizes to 256 and crops to 224, but the model needs 224 pixels/,
    );
  });
});

describe("open_clip_config.json", () => {
  const text_cfg = { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12 };
  const vision_cfg = { image_size: 224, layers: 12, width: 768, patch_size: 32 };
  const read = (model: object, preprocess_cfg?: object) =>
    openClipConfig({ model_cfg: { embed_dim: 512, vision_cfg, text_cfg, ...model }, preprocess_cfg }, "c.json");

  it("is gelu unless it says quick_gelu", () => {
    expect(read({}).config).toEqual({ ...clipConfigs["ViT-B-32-quickgelu"], activation: "gelu" });
    expect(read({ quick_gelu: true }).config).toEqual(clipConfigs["ViT-B-32-quickgelu"]);
  });

  it("takes null for a key that is left out", () => {
    const text_cfg = { hf_tokenizer_name: null, tokenizer_kwargs: { clean: "lower" } };
    const model_cfg = { embed_dim: 512, vision_cfg: {}, text_cfg };
    const whole = openClipConfig({ model_cfg }, "x.json");
    expect(openClipConfig({ model_cfg, preprocess_cfg: null, name: null }, "x.json")).toEqual(whole);
    expect(openClipConfig({ model_cfg, preprocess_cfg: { mean: null, resize_mode: null } }, "x.json")).toEqual(whole);
    expect(openClipTokenizer({ model_cfg })).toEqual({ cleaning: "lower", repository: undefined });
  });

  it("has heads of their own width, stages, and texts that are not causal", () => {
    const wide = read({
      vision_cfg: { ...vision_cfg, width: 1280, layers: 32, head_width: 80, patch_size: 14 },
    }).config;
    expect(wide.vision).toMatchObject({ width: 1280, heads: 16 });
    const resNet = read({ vision_cfg: { image_size: 224, layers: [3, 4, 6, 3], width: 64, patch_size: null } });
    expect(resNet.config.vision).toMatchObject({ kind: "resnet", layers: [3, 4, 6, 3], width: 64, heads: 32 });
    expect(read({ text_cfg: { ...text_cfg, no_causal_mask: true } }).config.text.causal).toBe(false);
  });

  it("names SigLIP's towers as timm does, each with its activation", () => {
    const siglip = (timm_model_name: string) =>
      read({
        ...{ embed_dim: 768, init_logit_bias: -10 },
        vision_cfg: { image_size: 224, timm_model_name, timm_pool: "map", timm_proj: "none" },
        text_cfg: { ...text_cfg, norm_kwargs: { eps: 1e-6 }, no_causal_mask: true, proj_bias: true, pool_type: "last" },
      }).config;
    expect(siglip("vit_base_patch16_siglip_224")).toMatchObject({ activation: "gelu", score: "sigmoid" });
    expect(siglip("vit_so400m_patch14_siglip_224").vision).toMatchObject({ patchSize: 14, mlpWidth: 4304 });
    expect(siglip("vit_so400m_patch16_siglip_256").activation).toBe("geluTanh");
    expect(() => siglip("convnext_base")).toThrow(/the image tower convnext_base with pool map .* is not supported/);
  });

  it("says how images are resized and texts cleaned", () => {
    expect(read({}, { resize_mode: "squash", interpolation: "bilinear", mean: half, std: half }).preprocess).toEqual({
      ...{ imageSize: 224, mean: half, std: half, resample: "bilinear", resizeMode: "squash" },
    });
    expect(read({}).preprocess).toEqual({ ...clipPreprocess, resizeMode: "shortest" });
    const model_cfg = { text_cfg: { hf_tokenizer_name: "some/one", tokenizer_kwargs: { clean: "canonicalize" } } };
    expect(openClipTokenizer({ model_cfg })).toEqual({ cleaning: "canonicalize", repository: "some/one" });
    const nothing = { cleaning: "none", repository: undefined };
    expect(openClipTokenizer({ model_cfg: { text_cfg: {} } })).toEqual(nothing);
    expect(openClipTokenizer({ model_cfg: { text_cfg: { hf_tokenizer_name: "" } } })).toEqual(nothing);
  });

  it("with options that would change the result and are not computed is refused by name", () => {
    expect(() => read({ vision_cfg: { ...vision_cfg, attentional_pool: true } })).toThrow(
      /vision_cfg\.attentional_pool/,
    );
    expect(() => read({ text_cfg: { ...text_cfg, hf_model_name: "roberta-base" } })).toThrow(/text_cfg\.hf_model_name/);
  });
});

describe("keys of open_clip_config.json", () => {
  const text_cfg = { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12 };
  const vision_cfg = { image_size: 224, layers: 12, width: 768, patch_size: 32 };
  const bare = { embed_dim: 512, vision_cfg, text_cfg };

  it("may be left to the architecture alone, as in open_clip's own tables", () => {
    expect(isOpenClipConfig(bare)).toBe(true);
    expect(openClipConfig(bare, "c.json")).toEqual({
      config: { ...clipConfigs["ViT-B-32-quickgelu"], activation: "gelu" },
      preprocess: { ...clipPreprocess, resizeMode: "shortest" },
    });
    const asked = { ...text_cfg, tokenizer_kwargs: { clean: "lower" } };
    expect(openClipTokenizer({ ...bare, text_cfg: asked }).cleaning).toBe("lower");
  });

  it("that count in training or nowhere are no matter", () => {
    const json = {
      model_cfg: {
        ...{ ...bare, custom_text: false, init_logit_scale: 2.6, nonscalar_logit_scale: true, output_dict: true },
        vision_cfg: {
          ...vision_cfg,
          patch_dropout: 0.5,
          output_tokens: false,
          attentional_pool: false,
          ls_init_value: null,
        },
        text_cfg: { ...text_cfg, pad_id: 0, eos_id: 2, hf_tokenizer_name: "", hf_model_name: null, qk_norm: false },
      },
      preprocess_cfg: { size: [224, 224], mode: "RGB", fill_color: 0 },
    };
    expect(openClipConfig(json, "c.json").config).toEqual(openClipConfig(bare, "c.json").config);
  });

  it.each([
    [{}, { attentional_pool: true }, {}, {}, /vision_cfg\.attentional_pool: is not supported/],
    [{}, { no_ln_pre: true }, {}, {}, /vision_cfg\.no_ln_pre: is not supported/],
    [{}, { pool_type: "avg" }, {}, {}, /vision_cfg\.pool_type/],
    [{}, { ls_init_value: 1e-4 }, {}, {}, /vision_cfg\.ls_init_value: is not supported/],
    [{}, { qk_norm: true }, {}, {}, /vision_cfg\.qk_norm: is not supported/],
    [{}, { block_type: "custom" }, {}, {}, /vision_cfg\.block_type/],
    [{}, { some_new_flag: true }, {}, {}, /vision_cfg\.some_new_flag is unknown/],
    [{}, {}, { embed_cls: true }, {}, /text_cfg\.embed_cls: is not supported/],
    [{}, {}, { pool_type: "eos" }, {}, /text_cfg\.pool_type/],
    [{}, {}, { proj_type: "none" }, {}, /text_cfg\.proj_type/],
    [{}, {}, { hf_model_name: "roberta-base" }, {}, /hf_model_name: a Hugging Face text tower is not supported/],
    [{}, {}, { tokenizer_kwargs: { strip_sep_token: true } }, {}, /tokenizer_kwargs\.strip_sep_token is unknown/],
    [{}, {}, { final_ln_after_pool: true }, {}, /text_cfg\.final_ln_after_pool: is not supported/],
    [{ multimodal_cfg: { layers: 12 } }, {}, {}, {}, /multimodal_cfg: a caption decoder \(CoCa\) is not supported/],
    [{}, {}, {}, { resize_mode: "longest" }, /resize_mode: "longest" is unknown/],
    [{}, {}, {}, { interpolation: "random" }, /interpolation: "random" is unknown/],
    [{}, {}, {}, { size: 256 }, /preprocess_cfg\.size 256 differs from the model's image size, 224/],
    [{}, {}, {}, { mode: "L" }, /preprocess_cfg\.mode/],
  ])(
    "that are not supported are refused by name: %j %j %j %j",
    (model, visionPart, textPart, preprocess_cfg, message) => {
      const model_cfg = {
        ...{ ...bare, ...model },
        vision_cfg: { ...vision_cfg, ...visionPart },
        text_cfg: { ...text_cfg, ...textPart },
      };
      expect(() => openClipConfig({ model_cfg, preprocess_cfg }, "c.json")).toThrow(message);
    },
  );
});

describe("open_clip_config.json as it is written", () => {
  /** Of timm 1.0's `vision_transformer.py`. */
  const inTimm = [
    ...["base_patch32_siglip_256", "base_patch16_siglip_224", "base_patch16_siglip_256", "base_patch16_siglip_384"],
    ...["base_patch16_siglip_512", "large_patch16_siglip_256", "large_patch16_siglip_384", "large_patch16_siglip_512"],
    ...["so400m_patch14_siglip_224", "so400m_patch14_siglip_378", "so400m_patch14_siglip_384"],
    ...["so400m_patch16_siglip_256", "so400m_patch16_siglip_384", "so400m_patch16_siglip_512"],
    ...["giantopt_patch16_siglip_256", "giantopt_patch16_siglip_384"],
  ].map((name) => `vit_${name}`);
  const trunkOf = (config: ClipConfig) => {
    const preprocess = { ...clipPreprocess, imageSize: config.vision.imageSize };
    const json = toOpenClipConfig(config, preprocess) as {
      model_cfg: { vision_cfg: { timm_model_name: string; timm_model_kwargs?: object } };
    };
    expect(openClipConfig(json, "c.json").config).toEqual(config);
    return json.model_cfg.vision_cfg;
  };
  const siglips = Object.entries<ClipConfig>(clipConfigs).filter(([, { score }]) => score === "sigmoid");

  it("asks timm for towers that it has, by the name of the published ones alone", () => {
    expect(siglips).toHaveLength(24);
    for (const [name, config] of siglips) {
      const { timm_model_name: trunk, timm_model_kwargs: kwargs = {} } = trunkOf(config);
      expect(inTimm).toContain(trunk);
      expect(Object.keys(kwargs).filter((key) => key !== "act_layer")).toEqual([]);
      expect(trunk).toMatch(new RegExp(`_patch${/-(\d+)-SigLIP/.exec(name)![1]}_siglip_${config.vision.imageSize}$`));
    }
  });

  it("says what differs from those where timm has no such tower", () => {
    const base = clipConfigs["ViT-B-16-SigLIP"];
    const other = (vision: object, embedDim = 768): ClipConfig => ({
      ...base,
      embedDim,
      vision: { ...base.vision, ...vision },
    });
    expect(trunkOf(other({ imageSize: 240 }))).toMatchObject({
      timm_model_name: "vit_base_patch16_siglip_224",
      timm_model_kwargs: { img_size: 240 },
    });
    expect(
      trunkOf(other({ width: 64, layers: 2, heads: 2, patchSize: 8, imageSize: 32, mlpWidth: 96 }, 64)),
    ).toMatchObject({
      timm_model_name: "vit_base_patch16_siglip_224",
      timm_model_kwargs: { img_size: 32, patch_size: 8, embed_dim: 64, depth: 2, num_heads: 2, mlp_ratio: 1.5 },
    });
  });

  it("names the repository of a published SigLIP's vocabulary, and that of no other model", () => {
    for (const [name, config] of siglips) {
      expect(publishedVocabulary(config)).toBe(`timm/${name}`);
      expect(publishedVocabulary({ ...config, activation: "gelu" })).toBe(`timm/${name}`);
    }
    expect(publishedVocabulary(clipConfigs["ViT-B-32"])).toBeUndefined();
    const { text, ...rest } = clipConfigs["ViT-B-16-SigLIP"];
    expect(publishedVocabulary({ ...rest, text: { ...text, vocabSize: 32_001 } })).toBeUndefined();
  });
});
