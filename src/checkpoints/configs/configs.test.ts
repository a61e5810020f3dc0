import { describe, expect, it } from "vitest";
import { clipPreprocess } from "../../image/preprocess-config.ts";
import { type ClipConfig, clipConfigs, countParameters } from "../../models/index.ts";
import { huggingFaceConfig, huggingFacePreprocess } from "./hugging-face.ts";
import { openClipConfig, openClipTokenizer, publishedVocabulary, toOpenClipConfig } from "./open-clip.ts";

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
    expect(countParameters(config)).toBe(203_155_970);
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
      /is of a model of type "siglip2"; clip and siglip/,
    );
    const vision_config = { hidden_act: "relu" };
    expect(() => huggingFaceConfig({ model_type: "clip", vision_config }, "config.json")).toThrow(
      /vision_config\.hidden_act: "relu" is unknown; did you mean "gelu"/,
    );
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

  it("that leaves pixels as they are is refused", () => {
    const wanted = { size: { shortest_edge: 224 } };
    for (const other of [{ do_normalize: false }, { do_rescale: false }, { rescale_factor: 1 / 127.5 }]) {
      expect(() => huggingFacePreprocess({ ...wanted, ...other }, clip, "p.json")).toThrow(Object.keys(other)[0]!);
    }
  });

  it("of another size than the model's is refused", () => {
    expect(() => huggingFacePreprocess({ size: { shortest_edge: 256 }, crop_size: 224 }, clip, "p.json")).toThrow(
      /p\.json resizes to 256 and crops to 224, and the model reads 224 pixels/,
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

  it("says how pictures are resized and texts cleaned", () => {
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
