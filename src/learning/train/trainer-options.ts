import { pick } from "../../core/pick.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import type { TrainConfig } from "./config.ts";
import type { TrainerOptions } from "./step/trainer.ts";

const trainerKeys = [
  "batchSize",
  "beta1",
  "beta2",
  "epsilon",
  "weightDecay",
  "gradClipNorm",
  "emaDecay",
  "lockImage",
  "lockText",
  "unlockedImageBlocks",
  "unlockedTextBlocks",
  "layerDecay",
  "noWeightDecay",
  "checkpointBlocks",
  "labelSmoothing",
  "patchDropout",
  "objective",
  "seed",
] as const;

/** The trainer of a run in one process, for whole batches. */
export function trainerOptions(run: TrainConfig, architecture: ClipConfig): TrainerOptions {
  return { ...pick(run, trainerKeys), config: architecture, chunkSize: run.batchSize };
}
