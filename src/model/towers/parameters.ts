import { ClipError } from "../../core/errors.ts";
import { Random } from "../../core/random.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import type { Affine, Block, Linear } from "../nn/layers.ts";
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
  placeWidth,
  stemChannels,
} from "./config.ts";
import { descriptorCount } from "./descriptors.ts";
import type { Bottleneck, ConvNorm, ModifiedResNet } from "./modified-resnet.ts";
import type { ConvStem, ProbePool, Readout, VisionTransformer } from "./vision-transformer.ts";

/** Where a parameter's first values come from: all the same, N(0, std²), U(−bound, bound), or given one by one. */
export type Initial =
  | { readonly constant: number }
  | { readonly std: number }
  | { readonly bound: number }
  | { readonly values: Float32Array };

/** A parameter before it has values. */
export interface ParameterSpec {
  readonly shape: readonly number[];
  readonly initial: Initial;
  /** False for the running statistics of batch norm, which are kept but not learned. */
  readonly trainable: boolean;
}

/** The shapes and start values of all parameters, in the form of the model's record. */
export function clipParameters(config: ClipConfig): Clip<ParameterSpec> {
  checkConfig(config);
  const { embedDim, vision, text } = config;
  return {
    vision: vision.kind === "vit" ? vitParameters(vision, embedDim) : resNetParameters(vision, embedDim),
    text: {
      tokenEmbedding: spec([text.vocabSize, text.width], { std: 0.02 }),
      positionalEmbedding: spec([text.contextLength, text.width], { std: 0.01 }),
      blocks: blocks(text, textBlockStds(text)),
      lnFinal: affine(text.width),
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

/** The leaves of a record with their paths (`vision.blocks.3.mlp.fc.weight`), in order. */
export function* leaves<Leaf extends object>(
  record: Clip<Leaf>,
  isLeaf: (node: object) => node is Leaf,
): Generator<[string, Leaf]> {
  function* visit(node: object, path: string): Generator<[string, Leaf]> {
    if (isLeaf(node)) yield [path, node];
    else
      for (const [key, child] of Object.entries(node))
        yield* visit(child as object, path === "" ? key : `${path}.${key}`);
  }
  yield* visit(record, "");
}

/** The paths and descriptions of all parameters. */
export function parameterSpecs(config: ClipConfig): Map<string, ParameterSpec> {
  return new Map(leaves(clipParameters(config), (node): node is ParameterSpec => "initial" in node));
}

/** The model's record with each parameter replaced by what `make` gives for its path. */
export function mapParameters<Leaf>(config: ClipConfig, make: (path: string, spec: ParameterSpec) => Leaf): Clip<Leaf> {
  const visit = (node: object, path: string): unknown => {
    if ("initial" in node) return make(path, node as ParameterSpec);
    const entries = Object.entries(node).map(([key, child]) => [
      key,
      visit(child as object, path === "" ? key : `${path}.${key}`),
    ]);
    return Array.isArray(node) ? entries.map(([, child]) => child) : Object.fromEntries(entries);
  };
  return visit(clipParameters(config), "") as Clip<Leaf>;
}

/** How many numbers a model learns. */
export function countParameters(config: ClipConfig): number {
  let count = 0;
  for (const { shape, trainable } of parameterSpecs(config).values()) {
    if (trainable) count += shape.reduce((total, size) => total * size, 1);
  }
  return count;
}

/**
 * First values of all parameters, by path: the distributions of the paper's code.
 *
 * @param isWanted - which of them; default all.
 */
export function initializeParameters(
  config: ClipConfig,
  seed: number,
  isWanted: (path: string) => boolean = () => true,
): Map<string, TensorData<"float32">> {
  const parameters = new Map<string, TensorData<"float32">>();
  for (const [path, { shape, initial }] of parameterSpecs(config)) {
    if (!isWanted(path)) continue;
    const random = new Random(seed, parameters.size);
    const data = new Float32Array(shape.reduce((total, size) => total * size, 1));
    for (let i = 0; i < data.length; i++) {
      if ("values" in initial) data[i] = initial.values[i]!;
      else if ("constant" in initial) data[i] = initial.constant;
      else data[i] = "std" in initial ? initial.std * random.normal() : random.uniform(-initial.bound, initial.bound);
    }
    parameters.set(path, float32(data, shape));
  }
  return parameters;
}

function spec(shape: readonly number[], initial: Initial, trainable = true): ParameterSpec {
  return { shape, initial, trainable };
}

function affine(size: number, weight = 1): Affine<ParameterSpec> {
  return { weight: spec([size], { constant: weight }), bias: spec([size], { constant: 0 }) };
}

/** PyTorch's default for linear layers and convolutions: U(±1/√fanIn). */
function fanIn(shape: readonly number[]): ParameterSpec {
  return spec(shape, { bound: shape.slice(1).reduce((total, size) => total * size, 1) ** -0.5 });
}

function linearSpec(out: number, input: number, weight?: Initial, bias?: Initial): Linear<ParameterSpec> {
  const byFanIn = { bound: input ** -0.5 };
  return { weight: spec([out, input], weight ?? byFanIn), bias: spec([out], bias ?? byFanIn) };
}

interface BlockInitials {
  readonly qkv: Initial;
  readonly out?: Initial;
  readonly fc?: Initial;
  readonly proj?: Initial;
}

function blocks(config: TransformerConfig, initial: BlockInitials): Block<ParameterSpec>[] {
  const { width, layers, mlpWidth = 4 * width, lora } = config;
  // The change starts as none, up being 0.
  const matrix = (out: number, input: number, weight?: Initial, bias?: Initial): Linear<ParameterSpec> => ({
    ...linearSpec(out, input, weight, bias),
    ...(lora && { lora: { down: fanIn([lora.rank, input]), up: spec([out, lora.rank], { constant: 0 }) } }),
  });
  return Array.from({ length: layers }, () => ({
    ln1: affine(width),
    attn: {
      qkv: matrix(3 * width, width, initial.qkv, { constant: 0 }),
      out: matrix(width, width, initial.out, { constant: 0 }),
    },
    ln2: affine(width),
    mlp: { fc: matrix(mlpWidth, width, initial.fc), proj: matrix(width, mlpWidth, initial.proj) },
  }));
}

/** The text tower's deviations, smaller the deeper it is. */
function textBlockStds({ width, layers }: TransformerConfig): Required<BlockInitials> {
  const residual = { std: width ** -0.5 * (2 * layers) ** -0.5 };
  return { qkv: { std: width ** -0.5 }, out: residual, fc: { std: (2 * width) ** -0.5 }, proj: residual };
}

function vitParameters(config: VitConfig, embedDim: number): VisionTransformer<ParameterSpec> {
  const { width, imageSize, patchSize, stem = "patch", pool = "class" } = config;
  const hidden = 4 * width;
  // Xavier's bound for the fused matrix [3W, W].
  const qkv = { bound: Math.sqrt(6 / (4 * width)) };
  const scale = { std: width ** -0.5 };
  // What is left over at the right and below is not read, as in SigLIP's model of 384 pixels in patches of 14.
  const places = Math.floor(imageSize / patchSize) ** 2;
  return {
    patchEmbedding: stem === "convolutions" ? stemParameters(width) : patchParameters(config),
    ...(pool === "class" && { classEmbedding: spec([width], scale) }),
    positionalEmbedding: spec([places + (pool === "class" ? 1 : 0), width], scale),
    ...(pool !== "probe" && { lnPre: affine(width) }),
    // The image tower's blocks keep PyTorch's defaults.
    blocks: blocks(config, { qkv }),
    lnPost: affine(width),
    projection: {
      class: () => spec([width, embedDim], scale),
      places: () => ({
        place: linearSpec(placeWidth, width),
        ...readoutParameters(placeWidth * places, hidden, embedDim),
      }),
      probe: () => probeParameters(config, qkv),
    }[pool](),
    ...(config.descriptors && { descriptors: readoutParameters(descriptorCount, hidden, embedDim) }),
  };
}

function patchParameters({ width, patchSize, pool }: VitConfig): ParameterSpec | Linear<ParameterSpec> {
  const weight = fanIn([width, 3, patchSize, patchSize]);
  return pool === "probe" ? { weight, bias: spec([width], { constant: 0 }) } : weight;
}

function probeParameters(config: VitConfig, qkv: Initial): ProbePool<ParameterSpec> {
  const [{ attn, ln2, mlp }] = blocks({ ...config, layers: 1, lora: undefined }, { qkv }) as [Block<ParameterSpec>];
  return { probe: spec([config.width], { std: config.width ** -0.5 }), attn, ln: ln2, mlp };
}

function stemParameters(width: number): ConvStem<ParameterSpec> {
  return {
    edges: spec([stemChannels, 3, 3, 3], { values: edgeKernels() }),
    edgesBias: spec([stemChannels], { constant: 0 }),
    norm: affine(stemChannels),
    patches: fanIn([width, stemChannels, 4, 4]),
  };
}

/**
 * Slopes of the lightness in 18 directions, then the mean of each colour and its negative: what a first layer learns
 * anyway, at the start. [stemChannels, 3, 3, 3]
 */
function edgeKernels(): Float32Array {
  const kernels = new Float32Array(stemChannels * 27);
  const lightness = [0.299, 0.587, 0.114];
  const directions = stemChannels - 6;
  for (let kernel = 0; kernel < stemChannels; kernel++) {
    const angle = (2 * Math.PI * kernel) / directions;
    const own = kernel - directions;
    for (let i = 0; i < 27; i++) {
      const [colour, y, x] = [Math.floor(i / 9), (Math.floor(i / 3) % 3) - 1, (i % 3) - 1];
      // Sobel's operator, turned
      const slope = (Math.cos(angle) * x * (2 - Math.abs(y)) + Math.sin(angle) * y * (2 - Math.abs(x))) / 4;
      const mean = own % 3 === colour ? (own < 3 ? 1 : -1) / 9 : 0;
      kernels[kernel * 27 + i] = own < 0 ? 2 * slope * lightness[colour]! : mean;
    }
  }
  return kernels;
}

function decoderParameters({ vision, text }: ClipConfig, { length }: DecoderConfig): CaptionDecoder<ParameterSpec> {
  const { width } = text;
  const scaled = (input: number) => linearSpec(width, input, { std: input ** -0.5 }, { constant: 0 });
  return {
    imageProjection: scaled(vision.kind === "vit" ? vision.width : resNetOutput(vision)),
    textProjection: scaled(width),
    queries: spec([length, width], { std: 0.02 }),
    blocks: blocks({ ...text, lora: undefined }, textBlockStds(text)),
    lnFinal: affine(width),
    head: spec([text.vocabSize, width], { std: width ** -0.5 }),
  };
}

function readoutParameters(input: number, hidden: number, embedDim: number): Readout<ParameterSpec> {
  return { hidden: linearSpec(hidden, input), norm: affine(hidden), out: linearSpec(embedDim, hidden) };
}

function resNetParameters(config: ResNetConfig, embedDim: number): ModifiedResNet<ParameterSpec> {
  const { width, layers, norm } = config;
  const convNorm = (out: number, input: number, size: number, gain = 1): ConvNorm<ParameterSpec> => ({
    kernel: fanIn([out, input, size, size]),
    norm: {
      ...affine(out, gain),
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
        // Gain 0: each bottleneck starts as its shortcut.
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
 * Sizes that do not fit each other.
 *
 * @param where - what says them, for the message: a file's path.
 * @throws {ClipError} `CLIP_CONFIG`
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
