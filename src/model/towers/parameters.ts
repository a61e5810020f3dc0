import { ClipError } from "../../core/errors.ts";
import { checkOptions, numberFrom, oneOf, type OptionKinds, record, wholeNumber } from "../../core/options.ts";
import type { Block, Linear } from "../nn/layers.ts";
import { normSpec, fanInSpec, type Initial, linearSpec, type ParameterSpec, spec } from "../nn/parameters.ts";
import type { CaptionDecoder } from "./caption-decoder.ts";
import type { Clip } from "./clip.ts";
import {
  type ClipConfig,
  type DecoderConfig,
  type ResNetConfig,
  resNetGrid,
  resNetOutput,
  type TransformerConfig,
  type VitConfig,
} from "./config.ts";
import type { Bottleneck, ConvNorm, ModifiedResNet } from "./modified-resnet.ts";
import { convStemSpec, descriptorsSpec, placesPoolSpec } from "./pictogram-parts.ts";
import type { ProbePool, VisionTransformer } from "./vision-transformer.ts";

const configKinds: OptionKinds<ClipConfig> = {
  embedDim: wholeNumber(1),
  activation: oneOf("quickGelu", "gelu", "geluTanh"),
  layerNormEpsilon: numberFrom(0),
  score: oneOf("softmax", "sigmoid"),
  vision: record,
  text: record,
  decoder: record,
};

/**
 * Shapes and initial values of a CLIP's parameters, with the distributions of OpenAI's code.
 *
 * @example
 * ```ts
 * const parameters = initializeParameters(clipParameters(clipConfigs["ViT-B-32"]), 0);
 * console.log(parameters.get("vision.projection")?.shape);
 * ```
 *
 * @throws {ClipError} `CLIP_CONFIG` if its sizes do not fit each other.
 */
export function clipParameters(config: ClipConfig): Clip<ParameterSpec> {
  checkOptions("clipParameters", config, configKinds, ["embedDim", "activation", "vision", "text"]);
  checkConfig(config);
  const { embedDim, vision, text } = config;
  return {
    vision: vision.kind === "vit" ? vitParameters(vision, embedDim) : resNetParameters(vision, embedDim),
    text: {
      tokenEmbedding: spec([text.vocabSize, text.width], { std: 0.02 }),
      positionalEmbedding: spec([text.contextLength, text.width], { std: 0.01 }),
      blocks: blocks(text, textBlockStds(text)),
      lnFinal: normSpec(text.width),
      projection: text.projectionBias
        ? linearSpec(embedDim, text.width, { std: text.width ** -0.5 }, { constant: 0 })
        : spec([text.width, embedDim], { std: text.width ** -0.5 }),
    },
    ...(config.score === "sigmoid"
      ? { logitScale: spec([], { constant: Math.log(10) }), logitBias: spec([], { constant: -10 }) }
      : { logitScale: spec([], { constant: Math.log(1 / 0.07) }) }),
    ...(config.decoder && { decoder: decoderParameters(config, config.decoder) }),
  };
}

interface BlockInitials {
  readonly qkv: Initial;
  readonly out?: Initial;
  readonly fc?: Initial;
  readonly proj?: Initial;
}

function blocks(config: TransformerConfig, initial: BlockInitials): Block<ParameterSpec>[] {
  const { width, layers, mlpWidth = 4 * width, lora } = config;
  // `up` is 0, so the adapter starts as no change.
  const matrix = (out: number, input: number, weight?: Initial, bias?: Initial): Linear<ParameterSpec> => ({
    ...linearSpec(out, input, weight, bias),
    ...(lora && { lora: { down: fanInSpec([lora.rank, input]), up: spec([out, lora.rank], { constant: 0 }) } }),
  });
  return Array.from({ length: layers }, () => ({
    ln1: normSpec(width),
    attn: {
      qkv: matrix(3 * width, width, initial.qkv, { constant: 0 }),
      out: matrix(width, width, initial.out, { constant: 0 }),
    },
    ln2: normSpec(width),
    mlp: { fc: matrix(mlpWidth, width, initial.fc), proj: matrix(width, mlpWidth, initial.proj) },
  }));
}

/** Standard deviations for the text tower; layers that feed the residual stream shrink with depth. */
function textBlockStds({ width, layers }: TransformerConfig): Required<BlockInitials> {
  const residual = { std: width ** -0.5 * (2 * layers) ** -0.5 };
  return { qkv: { std: width ** -0.5 }, out: residual, fc: { std: (2 * width) ** -0.5 }, proj: residual };
}

function vitParameters(config: VitConfig, embedDim: number): VisionTransformer<ParameterSpec> {
  const { width, imageSize, patchSize, stem = "patch", pool = "class" } = config;
  // Xavier bound for the fused matrix [3W, W].
  const qkv = { bound: Math.sqrt(6 / (4 * width)) };
  const scale = { std: width ** -0.5 };
  // Pixels beyond the last whole patch are ignored, as in SigLIP's 384-pixel model with patches of 14.
  const places = Math.floor(imageSize / patchSize) ** 2;
  return {
    patchEmbedding: stem === "convolutions" ? convStemSpec(width) : patchParameters(config),
    ...(pool === "class" && { classEmbedding: spec([width], scale) }),
    positionalEmbedding: spec([places + (pool === "class" ? 1 : 0), width], scale),
    ...(pool !== "probe" && { lnPre: normSpec(width) }),
    // Other matrices keep PyTorch's defaults.
    blocks: blocks(config, { qkv }),
    lnPost: normSpec(width),
    projection: {
      class: () => spec([width, embedDim], scale),
      places: () => placesPoolSpec(width, places, embedDim),
      probe: () => probeParameters(config, qkv),
    }[pool](),
    ...(config.descriptors && { descriptors: descriptorsSpec(width, embedDim) }),
  };
}

function patchParameters({ width, patchSize, pool }: VitConfig): ParameterSpec | Linear<ParameterSpec> {
  const weight = fanInSpec([width, 3, patchSize, patchSize]);
  return pool === "probe" ? { weight, bias: spec([width], { constant: 0 }) } : weight;
}

function probeParameters(config: VitConfig, qkv: Initial): ProbePool<ParameterSpec> {
  const [{ attn, ln2, mlp }] = blocks({ ...config, layers: 1, lora: undefined }, { qkv }) as [Block<ParameterSpec>];
  return { probe: spec([config.width], { std: config.width ** -0.5 }), attn, ln: ln2, mlp };
}

function decoderParameters({ vision, text }: ClipConfig, { length }: DecoderConfig): CaptionDecoder<ParameterSpec> {
  const { width } = text;
  const scaled = (input: number) => linearSpec(width, input, { std: input ** -0.5 }, { constant: 0 });
  return {
    imageProjection: scaled(vision.kind === "vit" ? vision.width : resNetOutput(vision)),
    textProjection: scaled(width),
    queries: spec([length, width], { std: 0.02 }),
    blocks: blocks({ ...text, lora: undefined }, textBlockStds(text)),
    lnFinal: normSpec(width),
    head: spec([text.vocabSize, width], { std: width ** -0.5 }),
  };
}

function resNetParameters(config: ResNetConfig, embedDim: number): ModifiedResNet<ParameterSpec> {
  const { width, layers, norm } = config;
  const convNorm = (out: number, input: number, size: number, gain = 1): ConvNorm<ParameterSpec> => ({
    kernel: fanInSpec([out, input, size, size]),
    norm: {
      ...normSpec(out, gain),
      ...(norm === "batch" && {
        runningMean: spec([out], { constant: 0 }, false),
        runningVar: spec([out], { constant: 1 }, false),
      }),
    } as ConvNorm<ParameterSpec>["norm"],
  });
  let channels = width;
  const stages = layers.map((count, s) => {
    const inner = width * 2 ** s;
    return Array.from({ length: count }, (_, i): Bottleneck<ParameterSpec> => {
      const input = channels;
      channels = 4 * inner;
      const changes = input !== channels || (s > 0 && i === 0);
      return {
        conv1: convNorm(inner, input, 1),
        conv2: convNorm(inner, inner, 3),
        // Gain 0, so each bottleneck starts as its shortcut.
        conv3: convNorm(channels, inner, 1, 0),
        ...(changes && { downsample: convNorm(channels, input, 1) }),
      };
    });
  });
  const output = resNetOutput(config);
  const scale = { std: output ** -0.5 };
  return {
    stem: [convNorm(width / 2, 3, 3), convNorm(width / 2, width / 2, 3), convNorm(width, width / 2, 3)],
    stages,
    attentionPool: {
      positionalEmbedding: spec([resNetGrid(config) ** 2 + 1, output], scale),
      q: linearSpec(output, output, scale),
      k: linearSpec(output, output, scale),
      v: linearSpec(output, output, scale),
      out: linearSpec(embedDim, output, scale),
    },
  };
}

/**
 * Checks that the sizes of an architecture are consistent.
 *
 * @param where - source of the config for the message, such as a file's path.
 * @throws {ClipError} `CLIP_CONFIG` with the first problem.
 */
export function checkConfig({ embedDim, vision, text }: ClipConfig, where?: string): void {
  const grid = vision.kind === "vit" ? vision.imageSize / vision.patchSize : resNetGrid(vision);
  const mayBeCut = vision.kind === "vit" && vision.pool === "probe" && grid >= 1;
  const problem =
    (!Number.isInteger(grid) && !mayBeCut && `imageSize ${vision.imageSize} does not divide into a whole grid`) ||
    (vision.kind === "vit" &&
      vision.descriptors &&
      vision.imageSize % 16 !== 0 &&
      `descriptors need an imageSize that is a multiple of 16, not ${vision.imageSize}`) ||
    (vision.kind === "vit" &&
      vision.pool === "probe" &&
      vision.width !== embedDim &&
      `a probe's features are as wide as the tower: vision.width is ${vision.width}, embedDim ${embedDim}`) ||
    (vision.kind === "vit" &&
      vision.width % vision.heads !== 0 &&
      `vision.width ${vision.width} does not divide into ${vision.heads} heads`) ||
    (vision.kind === "resnet" &&
      resNetOutput(vision) % vision.heads !== 0 &&
      `the attention pool's ${resNetOutput(vision)} channels do not divide into ${vision.heads} heads`) ||
    (vision.kind === "resnet" &&
      vision.norm === "group" &&
      vision.width % 16 !== 0 &&
      `vision.width ${vision.width} must be a multiple of 16 for group norm`) ||
    (text.width % text.heads !== 0 && `text.width ${text.width} does not divide into ${text.heads} heads`);
  if (problem) throw new ClipError("CLIP_CONFIG", where === undefined ? problem : `${where}: ${problem}`);
}
