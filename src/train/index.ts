// Everything a user can import from "clip-ts/train", by what it is for.

import "../core/globals.ts";

/** Pre-training: a configuration in, a run's folder with the model out. */
export { train } from "./train.ts";
export type { TrainOptions, TrainProgress, TrainResult, TrainValidation } from "./run.ts";
export type { Diagnosis, Finding } from "./doctor.ts";
export { overfit, type OverfitAttempt, type OverfitOptions, type OverfitResult } from "./overfit.ts";
export { readTrainConfig, type TrainConfig, trainConfigSchema } from "./config.ts";
export { type MetricsLine, runFiles, type ValidationScores } from "./run-folder.ts";
export type { Prediction } from "./validate.ts";

/** Fine-tuning that keeps the model good at the rest: a training run, then the best blend of old and new weights. */
export {
  finetune,
  type FinetuneConfig,
  type FinetuneOptions,
  type FinetuneRecord,
  type FinetuneResult,
  type FinetuneSource,
  keepAlpha,
} from "./finetune.ts";
export { finetuneFiles } from "./blender.ts";
export {
  type FinetunePlan,
  finetuneRecipes,
  type PlannedSetting,
  planFinetuning,
  type PlanRequest,
  type RecipeName,
  type RunSettings,
} from "./finetune-plan.ts";

/** The parts of it: pairs, batches, the objective, the learning rate. */
export { type MixedPairs, readPairs, readPictures, readSources, type Source } from "./pairs.ts";
export { readPicture } from "../data/picture.ts";
export { countReasons } from "./sources/samples.ts";
export { isShardName } from "./sources/shards.ts";
export type { FilePart, Picture } from "../data/picture.ts";
export type { Pairs, Sample, SkippedImage, SourceOptions } from "./sources/samples.ts";
export { checkData, type CheckOptions, type DataReport, type Spread } from "./check-data.ts";
export { type PackedShard, packShards, type PackOptions } from "./pack.ts";
export { captionLoss, captionMatches, captionTargets, clipLoss, siglipLoss, smoothTargets } from "./losses.ts";
export { type Schedule, scheduledLearningRate } from "./schedule.ts";
