import { abortSignal, callback, flag, type OptionKinds, text } from "../../core/options.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { Finding } from "./doctor.ts";
import type { ValidationScores } from "./run-folder.ts";
import type { Prediction } from "./validate.ts";

export interface TrainProgress {
  /** Updates made, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly pairsPerSecond: number;
  /** Estimate without the first step, which is mostly compilation; undefined after that step. */
  readonly secondsLeft: number | undefined;
  /** Share of the time spent waiting for data, in [0, 1]. */
  readonly waitShare: number;
  /** Share of the time spent communicating with the other processes or waiting for them. */
  readonly communicationShare: number;
  /** Scores of the last validation, if there was one. */
  readonly validation: ValidationScores | undefined;
}

export interface TrainValidation {
  /** Updates made. */
  readonly step: number;
  readonly scores: ValidationScores;
  /** One per readable image, in the order of the source. */
  readonly predictions: readonly Prediction[];
}

/** Where a run writes, and its listeners. */
export interface TrainOptions {
  /** Folder for the configuration, metrics, checkpoint and the finished model. */
  readonly out: string;
  /** Resume from the folder's checkpoint, if it has one. */
  readonly resume?: boolean;
  /** Stops the run after the current step, with a checkpoint. Before the first step `train` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
  readonly onValidation?: (validation: TrainValidation) => void;
  /** Called with each suspected problem of the run. */
  readonly onFinding?: (finding: Finding) => void;
  /** Also write the metrics for TensorBoard, into the folder's `tensorboard/`. */
  readonly tensorboard?: boolean;
  /** Called while shards are downloaded before the run. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

export const trainKinds: OptionKinds<TrainOptions> = {
  ...{ out: text, resume: flag, signal: abortSignal, tensorboard: flag },
  ...{ onProgress: callback, onValidation: callback, onFinding: callback, onDownload: callback },
};

export interface TrainResult extends Pick<TrainProgress, "pairsPerSecond" | "waitShare" | "communicationShare"> {
  /** False if `signal` stopped it before its last step. */
  readonly finished: boolean;
  /** Updates made. */
  readonly steps: number;
  /** Seconds since the run was started or resumed. */
  readonly seconds: number;
  /** Of this process, from 0: only rank 0 writes, reports and scores. */
  readonly rank: number;
  readonly skipped: readonly SkippedImage[];
  /** Of the last validation. */
  readonly scores: ValidationScores | undefined;
  readonly predictions: readonly Prediction[];
  /** Suspected problems since the run was started or resumed. */
  readonly findings: readonly Finding[];
}
