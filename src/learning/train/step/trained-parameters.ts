import { ClipError } from "../../../core/errors.ts";
import { isLora } from "../../../model/pretrained/lora.ts";
import { type ClipConfig, type ResNetConfig } from "../../../model/towers/config.ts";
import { isDecoderPath } from "../../../model/towers/caption-decoder.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import type { OptimizedParameter } from "../../../engine/optimize/optimizer.ts";

/** The choice of parameters to train. */
export interface ParameterChoice {
  /** Freeze a tower, except for unlocked blocks and the layers after them. */
  readonly lockImage: boolean;
  readonly lockText: boolean;
  /** Number of last blocks of a frozen tower that are trained. */
  readonly unlockedImageBlocks: number;
  readonly unlockedTextBlocks: number;
  /** Factor of the learning rate from each block to the one before it. */
  readonly layerDecay: number;
  /** Further parameters without weight decay: paths, or their beginnings up to a dot. */
  readonly noWeightDecay: readonly string[];
}

/** All parameters, at one learning rate. */
export const trainEverything: ParameterChoice = {
  ...{ lockImage: false, lockText: false, unlockedImageBlocks: 0, unlockedTextBlocks: 0 },
  ...{ layerDecay: 1, noWeightDecay: [] },
};

/**
 * The parameters a run trains, in the model's order. Matrices, kernels and tables have weight decay; gains, biases, single vectors,
 * logitScale and logitBias do not. Each block's learning rate is `layerDecay` times the next block's (BEiT, Bao et al. 2022); the
 * layers before the first block count as one block, and so do those after the last.
 *
 * @throws {ClipError} `CLIP_CONFIG` if neither tower has anything to train, more blocks are unlocked than exist, a batch-normed
 *   tower is locked in part, or `noWeightDecay` has a path that the model lacks.
 */
export function trainedParameters(config: ClipConfig, choice: ParameterChoice): OptimizedParameter[] {
  const specs = parameterSpecs(clipParameters(config));
  const paths = [...specs.keys()];
  const towers = towersOf(config, choice);
  checkTowers(config, towers);
  checkNoWeightDecay(choice, paths);
  const hasLora = paths.some(isLora);
  const trained = [...specs].flatMap(([path, { shape, trainable }]): OptimizedParameter[] => {
    const tower = (towers as Readonly<Record<string, Tower>>)[path.split(".")[0]!];
    const depth = tower ? depthOf(path, config) : 0;
    const isLocked = tower?.locked && (tower.unlocked === 0 || depth <= tower.blocks - tower.unlocked);
    if (!trainable || isLocked || (hasLora && !isLora(path) && !isDecoderPath(path))) return [];
    const decay = shape.length >= 2 && !choice.noWeightDecay.some((name) => isUnder(path, name));
    return [{ path, shape, decay, rateScale: tower ? choice.layerDecay ** (tower.blocks + 1 - depth) : 1 }];
  });
  if (trained.some(({ path }) => path.split(".")[0]! in towers)) return trained;
  throw configError("both towers are locked, so there is nothing to train; unlock a tower, or some blocks of one");
}

/** Whether the whole image tower is frozen, running statistics included. */
export function isImageTowerLocked(trained: ReadonlySet<string>): boolean {
  return ![...trained].some((path) => path.startsWith("vision."));
}

interface Tower {
  readonly blocks: number;
  readonly locked: boolean;
  readonly unlocked: number;
}

function towersOf(config: ClipConfig, choice: ParameterChoice): Readonly<Record<"vision" | "text", Tower>> {
  const { lockImage, unlockedImageBlocks, lockText, unlockedTextBlocks } = choice;
  return {
    vision: { blocks: blockCount(config, "vision"), locked: lockImage, unlocked: unlockedImageBlocks },
    text: { blocks: blockCount(config, "text"), locked: lockText, unlocked: unlockedTextBlocks },
  };
}

function checkTowers({ vision }: ClipConfig, towers: ReturnType<typeof towersOf>): void {
  for (const [tower, { blocks, unlocked }] of Object.entries(towers)) {
    if (unlocked > blocks) throw configError(`${unlocked} blocks are unlocked, but the ${tower} tower has ${blocks}`);
  }
  if (towers.vision.locked && towers.vision.unlocked > 0 && vision.kind === "resnet" && vision.norm === "batch")
    throw configError("a batch-normed image tower can only be locked as a whole; set unlockedImageBlocks to 0");
}

function checkNoWeightDecay({ noWeightDecay }: ParameterChoice, paths: readonly string[]): void {
  const unknown = noWeightDecay.find((name) => !paths.some((path) => isUnder(path, name)));
  if (unknown === undefined) return;
  const some = "vision.positionalEmbedding or text.blocks.0";
  throw configError(`noWeightDecay: no parameter of the model is under ${unknown}; use one like ${some}`);
}

const configError = (problem: string) => new ClipError("CLIP_CONFIG", problem);

const isUnder = (path: string, start: string) => path === start || path.startsWith(`${start}.`);

const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);

/** Transformer blocks of a tower; a ResNet's bottlenecks. */
function blockCount(config: ClipConfig, tower: "vision" | "text"): number {
  const { layers } = config[tower];
  return typeof layers === "number" ? layers : total(layers);
}

/** Depth of a parameter in its tower: 0 before the blocks, 1 for the first block, the number of blocks + 1 after the last. */
function depthOf(path: string, config: ClipConfig): number {
  const [tower, part, ...rest] = path.split(".") as ["vision" | "text", string, ...string[]];
  if (part === "blocks") return 1 + Number(rest[0]);
  if (part === "stages") {
    const { layers } = config.vision as ResNetConfig;
    return 1 + total(layers.slice(0, Number(rest[0]))) + Number(rest[1]);
  }
  return beforeBlocks.has(part) ? 0 : blockCount(config, tower) + 1;
}

const embeddings = ["patchEmbedding", "classEmbedding", "positionalEmbedding", "tokenEmbedding"];
const beforeBlocks: ReadonlySet<string> = new Set([...embeddings, "lnPre", "stem"]);
