// The door "clip-ts/train": pre-training and fine-tuning, and their data and losses.

import "./core/globals.ts";

/** Pre-training: from a configuration to a run's folder with the model. */
export { train } from "./learning/train/train.ts";
export type { TrainOptions, TrainProgress, TrainResult, TrainValidation } from "./learning/train/train-options.ts";
export type { Diagnosis, Finding } from "./learning/train/doctor.ts";
export { overfit, type OverfitAttempt, type OverfitOptions, type OverfitResult } from "./learning/train/overfit.ts";
export { readTrainConfig, type TrainConfig, trainConfigSchema } from "./learning/train/config.ts";
export { type MetricsLine, runFiles, type ValidationScores } from "./learning/train/run-folder.ts";
export type { Prediction } from "./learning/train/validate.ts";

/** Fine-tuning: a training run, then the best blend of old and new weights. */
export { finetune, keepAlpha } from "./learning/finetune/finetune.ts";
export type {
  FinetuneConfig,
  FinetuneOptions,
  FinetuneRecord,
  FinetuneResult,
  FinetuneSource,
} from "./learning/finetune/finetune.ts";
export { finetuneFiles } from "./learning/finetune/weight-blends.ts";
export { finetuneRecipes, planFinetuning } from "./learning/finetune/finetune-plan.ts";
export type {
  FinetunePlan,
  PlannedSetting,
  PlanRequest,
  RecipeName,
  RunSettings,
} from "./learning/finetune/finetune-plan.ts";

/** Data, losses and the learning rate. */
export { type PairSource, readImages, type ReadImagesOptions, readPairs, readSources } from "./inputs/data/pairs.ts";
export { readImage } from "./inputs/data/image-location.ts";
export { countReasons } from "./inputs/data/sources/samples.ts";
export { isShardName } from "./inputs/data/sources/shards.ts";
export type { FilePart, ImageLocation } from "./inputs/data/image-location.ts";
export type { SkippedImage } from "./inputs/data/image-files.ts";
export type { Pairs, Sample, SourceOptions } from "./inputs/data/sources/samples.ts";
export { checkData, type CheckOptions, type DataReport, type Spread } from "./inputs/data/check-data.ts";
export { type PackedShard, packShards, type PackOptions } from "./inputs/data/pack.ts";
export {
  captionLoss,
  captionMatches,
  captionTargets,
  clipLoss,
  siglipLoss,
  smoothTargets,
} from "./learning/train/step/losses.ts";
export { type Schedule, scheduledLearningRate } from "./learning/train/schedule.ts";
