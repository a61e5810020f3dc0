import type { ClipConfig, ResNetConfig, TextConfig, VitConfig } from "./config.ts";

/** Head size of every published tower except ViT-H, g, bigG and the largest SigLIPs. */
const headDim = 64;

function vit(width: number, layers: number, patchSize: number, imageSize = 224): VitConfig {
  return { kind: "vit", imageSize, patchSize, width, layers, heads: width / headDim };
}

function resNet(width: number, layers: readonly number[], imageSize: number): ResNetConfig {
  return { kind: "resnet", imageSize, width, layers, heads: (32 * width) / headDim, norm: "batch" };
}

function text(width: number, layers = 12): TextConfig {
  return { contextLength: 77, vocabSize: 49408, width, layers, heads: width / headDim };
}

const siglipSizes = {
  base: { width: 768, layers: 12, heads: 12 },
  large: { width: 1024, layers: 24, heads: 16 },
  so400m: { width: 1152, layers: 27, heads: 16, mlpWidth: 4304 },
  giant: { width: 1536, layers: 40, heads: 16 },
};

/**
 * SigLIP (Zhai et al. 2023) and, with Gemma's vocabulary, SigLIP 2 (Tschannen et al. 2025). They were trained with the tanh
 * approximation of GELU.
 */
function siglip(
  size: keyof typeof siglipSizes,
  patchSize: number,
  imageSize: number,
  { vocabSize = 32_000, contextLength = 64 } = {},
) {
  const vision = { kind: "vit", imageSize, patchSize, ...siglipSizes[size], pool: "probe" } as const;
  // The giant model has so400m's text tower.
  const text = siglipSizes[size === "giant" ? "so400m" : size];
  return {
    embedDim: vision.width,
    activation: "geluTanh",
    layerNormEpsilon: 1e-6,
    score: "sigmoid",
    vision,
    text: { contextLength, vocabSize, ...text, causal: false, pool: "last", projectionBias: true },
  } as const;
}

const multilingual = { vocabSize: 250_000 };
const gemma = { vocabSize: 256_000 };

// Shapes that were published with both activations.
const rn50 = { embedDim: 1024, vision: resNet(64, [3, 4, 6, 3], 224), text: text(512) };
const rn101 = { embedDim: 512, vision: resNet(64, [3, 4, 23, 3], 224), text: text(512) };
const rn50x4 = { embedDim: 640, vision: resNet(80, [4, 6, 10, 6], 288), text: text(640) };
const rn50x16 = { embedDim: 768, vision: resNet(96, [6, 8, 18, 8], 384), text: text(768) };
const rn50x64 = { embedDim: 1024, vision: resNet(128, [3, 15, 36, 10], 448), text: text(1024) };
const vitB32 = { embedDim: 512, vision: vit(768, 12, 32), text: text(512) };
const vitB16 = { embedDim: 512, vision: vit(768, 12, 16), text: text(512) };
const vitL14 = { embedDim: 768, vision: vit(1024, 24, 14), text: text(768) };
const vitL14At336 = { embedDim: 768, vision: vit(1024, 24, 14, 336), text: text(768) };
const vitH14 = { embedDim: 1024, vision: { ...vit(1280, 32, 14), heads: 16 }, text: text(1024, 24) };
const vitH14At378 = { ...vitH14, vision: { ...vitH14.vision, imageSize: 378 } };

/**
 * Published architectures by open_clip's names, and `pictogram`, the bundled model's. OpenAI's nine models are
 * `RN…-quickgelu`, `ViT-B-…-quickgelu` and `ViT-L-…-quickgelu`; without the suffix, shapes are equal and the GELU is exact.
 *
 * @see {@link https://github.com/mlfoundations/open_clip | open_clip} `model_configs/`.
 */
export const clipConfigs = {
  RN50: { ...rn50, activation: "gelu" },
  "RN50-quickgelu": { ...rn50, activation: "quickGelu" },
  RN101: { ...rn101, activation: "gelu" },
  "RN101-quickgelu": { ...rn101, activation: "quickGelu" },
  RN50x4: { ...rn50x4, activation: "gelu" },
  "RN50x4-quickgelu": { ...rn50x4, activation: "quickGelu" },
  RN50x16: { ...rn50x16, activation: "gelu" },
  "RN50x16-quickgelu": { ...rn50x16, activation: "quickGelu" },
  RN50x64: { ...rn50x64, activation: "gelu" },
  "RN50x64-quickgelu": { ...rn50x64, activation: "quickGelu" },

  "ViT-B-32": { ...vitB32, activation: "gelu" },
  "ViT-B-32-quickgelu": { ...vitB32, activation: "quickGelu" },
  "ViT-B-16": { ...vitB16, activation: "gelu" },
  "ViT-B-16-quickgelu": { ...vitB16, activation: "quickGelu" },
  "ViT-L-14": { ...vitL14, activation: "gelu" },
  "ViT-L-14-quickgelu": { ...vitL14, activation: "quickGelu" },
  "ViT-L-14-336": { ...vitL14At336, activation: "gelu" },
  "ViT-L-14-336-quickgelu": { ...vitL14At336, activation: "quickGelu" },
  "ViT-H-14": { ...vitH14, activation: "gelu" },
  "ViT-H-14-quickgelu": { ...vitH14, activation: "quickGelu" },
  "ViT-H-14-378": { ...vitH14At378, activation: "gelu" },
  "ViT-H-14-378-quickgelu": { ...vitH14At378, activation: "quickGelu" },

  "ViT-S-32-alt": { embedDim: 256, activation: "gelu", vision: vit(384, 12, 32), text: text(256, 10) },
  "ViT-S-32": { embedDim: 384, activation: "gelu", vision: vit(384, 12, 32), text: text(384) },
  "ViT-S-16-alt": { embedDim: 256, activation: "gelu", vision: vit(384, 12, 16), text: text(256, 10) },
  "ViT-S-16": { embedDim: 384, activation: "gelu", vision: vit(384, 12, 16), text: text(384) },
  "ViT-M-32-alt": { embedDim: 384, activation: "gelu", vision: vit(512, 12, 32), text: text(384) },
  "ViT-M-32": { embedDim: 512, activation: "gelu", vision: vit(512, 12, 32), text: text(512) },
  "ViT-M-16": { embedDim: 512, activation: "gelu", vision: vit(512, 12, 16), text: text(512) },
  "ViT-B-32-256": { embedDim: 512, activation: "gelu", vision: vit(768, 12, 32, 256), text: text(512) },
  "ViT-B-32-plus-256": { embedDim: 640, activation: "gelu", vision: vit(896, 12, 32, 256), text: text(640) },
  "ViT-B-16-plus": { embedDim: 640, activation: "gelu", vision: vit(896, 12, 16), text: text(640) },
  "ViT-B-16-plus-240": { embedDim: 640, activation: "gelu", vision: vit(896, 12, 16, 240), text: text(640) },
  "ViT-L-16": { embedDim: 768, activation: "gelu", vision: vit(1024, 24, 16), text: text(768) },
  "ViT-L-16-320": { embedDim: 768, activation: "gelu", vision: vit(1024, 24, 16, 320), text: text(768) },
  "ViT-L-14-280": { embedDim: 768, activation: "gelu", vision: vit(1024, 24, 14, 280), text: text(768) },

  "ViT-H-16": { ...vitH14, activation: "gelu", vision: { ...vitH14.vision, patchSize: 16 } },
  "ViT-g-14": {
    embedDim: 1024,
    activation: "gelu",
    vision: { ...vit(1408, 40, 14), heads: 16, mlpWidth: 6144 },
    text: text(1024, 24),
  },
  "ViT-bigG-14": {
    embedDim: 1280,
    activation: "gelu",
    vision: { ...vit(1664, 48, 14), heads: 16, mlpWidth: 8192 },
    text: text(1280, 32),
  },

  "ViT-B-16-SigLIP": siglip("base", 16, 224),
  "ViT-B-16-SigLIP-256": siglip("base", 16, 256),
  "ViT-B-16-SigLIP-i18n-256": siglip("base", 16, 256, multilingual),
  "ViT-B-16-SigLIP-384": siglip("base", 16, 384),
  "ViT-B-16-SigLIP-512": siglip("base", 16, 512),
  "ViT-L-16-SigLIP-256": siglip("large", 16, 256),
  "ViT-L-16-SigLIP-384": siglip("large", 16, 384),
  "ViT-SO400M-14-SigLIP": siglip("so400m", 14, 224, { contextLength: 16 }),
  "ViT-SO400M-14-SigLIP-384": siglip("so400m", 14, 384),
  "ViT-B-32-SigLIP2-256": siglip("base", 32, 256, gemma),
  "ViT-B-16-SigLIP2": siglip("base", 16, 224, gemma),
  "ViT-B-16-SigLIP2-256": siglip("base", 16, 256, gemma),
  "ViT-B-16-SigLIP2-384": siglip("base", 16, 384, gemma),
  "ViT-B-16-SigLIP2-512": siglip("base", 16, 512, gemma),
  "ViT-L-16-SigLIP2-256": siglip("large", 16, 256, gemma),
  "ViT-L-16-SigLIP2-384": siglip("large", 16, 384, gemma),
  "ViT-L-16-SigLIP2-512": siglip("large", 16, 512, gemma),
  "ViT-SO400M-14-SigLIP2": siglip("so400m", 14, 224, gemma),
  "ViT-SO400M-14-SigLIP2-378": siglip("so400m", 14, 378, gemma),
  "ViT-SO400M-16-SigLIP2-256": siglip("so400m", 16, 256, gemma),
  "ViT-SO400M-16-SigLIP2-384": siglip("so400m", 16, 384, gemma),
  "ViT-SO400M-16-SigLIP2-512": siglip("so400m", 16, 512, gemma),
  "ViT-gopt-16-SigLIP2-256": siglip("giant", 16, 256, gemma),
  "ViT-gopt-16-SigLIP2-384": siglip("giant", 16, 384, gemma),

  // The bundled model: small drawings, and a vocabulary trained on their captions.
  pictogram: {
    embedDim: 256,
    activation: "gelu",
    vision: {
      kind: "vit",
      imageSize: 64,
      patchSize: 8,
      width: 128,
      layers: 1,
      heads: 4,
      stem: "convolutions",
      pool: "places",
      descriptors: true,
    },
    text: { contextLength: 24, vocabSize: 2048, width: 128, layers: 1, heads: 2 },
  },
} satisfies Record<string, ClipConfig>;

export type ClipModelName = keyof typeof clipConfigs;
