// Everything a user can import from "clip-ts/train", by what it is for.

/** Pre-training: a configuration in, a run's folder with the model out. */
export { train } from "./train.ts";
export type { TrainOptions, TrainProgress, TrainResult } from "./run.ts";
export type { Diagnosis, Finding } from "./doctor.ts";
export { readTrainConfig, type TrainConfig, trainConfigSchema } from "./config.ts";
export { type MetricsLine, runFiles, type ValidationScores } from "./run-folder.ts";
export type { Prediction } from "./validate.ts";

/** The parts of it: pairs, batches, the objective, the learning rate. */
export { type PairColumns, type Pairs, readPairs, type Sample, type SkippedImage } from "./pairs.ts";
export { captionMatches, captionTargets, clipLoss, siglipLoss, smoothTargets } from "./losses.ts";
export { type Schedule, scheduledLearningRate } from "./schedule.ts";
