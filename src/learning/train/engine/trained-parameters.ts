import { ClipError } from "../../../core/errors.ts";
import { isLora } from "../../../model/pretrained/lora.ts";
import { type ClipConfig, type ResNetConfig } from "../../../model/towers/config.ts";
import { isDecoderPath } from "../../../model/towers/caption-decoder.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import type { OptimizedParameter } from "../../../engine/optimize/optimizer.ts";

/** Which parameters a run trains, and how. */
export interface ParameterChoice {
  /** Whether the tower stays as it is, but for its last blocks and what follows them. */
  readonly lockImage: boolean;
  readonly lockText: boolean;
  /** How many blocks of a locked tower are trained all the same. */
  readonly unlockedImageBlocks: number;
  readonly unlockedTextBlocks: number;
  /** What the learning rate is multiplied with from each block to the one before it. */
  readonly layerDecay: number;
  /** Parameters, or beginnings of their paths up to a dot, that weight decay leaves alone too. */
  readonly undecayed: readonly string[];
}

/** All of them, at one rate. */
export const trainEverything: ParameterChoice = {
  ...{ lockImage: false, lockText: false, unlockedImageBlocks: 0, unlockedTextBlocks: 0 },
  ...{ layerDecay: 1, undecayed: [] },
};

/**
 * The parameters that a run trains, in the order of the model's. Weight decay is for matrices, kernels and tables, not
 * for gains, biases, single vectors and the scores' scale and bias. The rate of a block is that of the one behind it times
 * `layerDecay` (Bao et al. 2022, BEiT); what stands before the first block counts as one, and so does what follows the
 * last.
 *
 * @throws {ClipError} `CLIP_CONFIG` if nothing of either tower is left to train, more blocks are unlocked than there are, a
 *   batch-normed tower is locked in part, or a path in `undecayed` is none of the model.
 */
export function trainedParameters(config: ClipConfig, choice: ParameterChoice): OptimizedParameter[] {
  const { lockImage, lockText, unlockedImageBlocks, unlockedTextBlocks, layerDecay, undecayed } = choice;
  const specs = parameterSpecs(clipParameters(config));
  const towers = {
    vision: { blocks: blockCount(config, "vision"), locked: lockImage, unlocked: unlockedImageBlocks },
    text: { blocks: blockCount(config, "text"), locked: lockText, unlocked: unlockedTextBlocks },
  };
  for (const [tower, { blocks, locked, unlocked }] of Object.entries(towers)) {
    if (unlocked > blocks)
      throw new ClipError("CLIP_CONFIG", `${unlocked} blocks are unlocked, the ${tower} tower has ${blocks}`);
    if (tower === "vision" && locked && unlocked > 0 && hasBatchNorm(config))
      throw new ClipError(
        "CLIP_CONFIG",
        "a batch-normed image tower is locked whole or not at all; set unlockedImageBlocks to 0",
      );
  }
  const isNamed = (path: string, name: string) => path === name || path.startsWith(`${name}.`);
  const strange = undecayed.find((name) => ![...specs.keys()].some((path) => isNamed(path, name)));
  if (strange !== undefined) {
    const some = "vision.positionalEmbedding or text.blocks.0";
    throw new ClipError(
      "CLIP_CONFIG",
      `undecayed: no parameter of the model begins with ${strange}; name such as ${some}`,
    );
  }
  // Where there are changes of low rank, of the model they alone are trained.
  const byLora = [...specs.keys()].some(isLora);
  const trained = [...specs].flatMap(([path, { shape, trainable }]): OptimizedParameter[] => {
    const tower = towers[path.split(".")[0] as keyof typeof towers] as (typeof towers)["vision"] | undefined;
    const depth = tower ? depthOf(path, config) : 0;
    const isLocked = tower?.locked && (tower.unlocked === 0 || depth <= tower.blocks - tower.unlocked);
    if (!trainable || isLocked || (byLora && !isLora(path) && !isDecoderPath(path))) return [];
    const decay = shape.length >= 2 && !undecayed.some((name) => isNamed(path, name));
    return [{ path, shape, decay, rateScale: tower ? layerDecay ** (tower.blocks + 1 - depth) : 1 }];
  });
  if (trained.some(({ path }) => path.split(".")[0]! in towers)) return trained;
  throw new ClipError(
    "CLIP_CONFIG",
    "both towers are locked, so there is nothing to train; unlock blocks of one of them",
  );
}

/** Whether the image tower stays as it is altogether: then its running statistics do too. */
export function isImageTowerLocked(trained: ReadonlySet<string>): boolean {
  return ![...trained].some((path) => path.startsWith("vision."));
}

function hasBatchNorm({ vision }: ClipConfig): boolean {
  return vision.kind === "resnet" && vision.norm === "batch";
}

/** Transformer blocks of a tower; a ResNet's bottlenecks. */
function blockCount(config: ClipConfig, tower: "vision" | "text"): number {
  const { layers } = config[tower];
  return typeof layers === "number" ? layers : layers.reduce((sum, count) => sum + count, 0);
}

/** How deep in its tower a parameter is: 0 before the blocks, then the block's number from 1, then one more. */
function depthOf(path: string, config: ClipConfig): number {
  const [tower, part, ...rest] = path.split(".") as ["vision" | "text", string, ...string[]];
  if (part === "blocks") return 1 + Number(rest[0]);
  if (part === "stages") {
    const { layers } = config.vision as ResNetConfig;
    const before = layers.slice(0, Number(rest[0])).reduce((sum, count) => sum + count, 0);
    return 1 + before + Number(rest[1]);
  }
  return ahead.has(part) ? 0 : blockCount(config, tower) + 1;
}

/** What stands before the first block. */
const ahead: ReadonlySet<string> = new Set([
  ...["patchEmbedding", "classEmbedding", "positionalEmbedding", "tokenEmbedding", "lnPre", "stem"],
]);
