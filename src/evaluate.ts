// The door "clip-ts/evaluate": accuracy, retrieval, linear probes and CLIPScore of a model.

import "./core/globals.ts";

/** Labelled and captioned images. */
export {
  type LabelledImage,
  type LabelledImages,
  type LabelledOptions,
  readLabelledImages,
} from "./inputs/data/labelled-images.ts";
export { type CaptionColumns, readCaptionTable } from "./inputs/data/captioned-images.ts";
export type { FilePart, ImageLocation } from "./inputs/data/image-location.ts";
export type { SkippedImage } from "./inputs/data/image-files.ts";
export type { Sample } from "./inputs/data/sources/samples.ts";

/** Zero-shot classification. */
export {
  type ClassScores,
  evaluateZeroShot,
  type ZeroShotAnswer,
  type ZeroShotOptions,
  type ZeroShotScores,
} from "./learning/evaluate/zero-shot.ts";
export type { NamedImages } from "./learning/evaluate/class-names.ts";
export type { ReadOptions } from "./model/embedding/encode-readable.ts";

/** Published data sets, robustness sets among them, and their published scores. */
export { BenchmarkSet, type SetImages } from "./learning/evaluate/benchmark-set.ts";
export { classLabel } from "./learning/evaluate/class-names.ts";
export {
  type KnownSet,
  knownSets,
  type PublishedScore,
  publishedScore,
  type SetMetric,
} from "./learning/evaluate/known-sets.ts";

/** Retrieval. */
export {
  evaluateRetrieval,
  type HardCaption,
  type HardImage,
  type Recalls,
  type RetrievalOptions,
  type RetrievalScores,
} from "./learning/evaluate/retrieval.ts";
export { type RetrievalRanks, retrievalRanks } from "./learning/evaluate/retrieval-metrics.ts";

/** Linear probes. */
export { encodeLabelled, type FeatureKind, type FeatureOptions } from "./learning/evaluate/image-features.ts";
export {
  type HeadScores,
  type Probe,
  type ProbeOptions,
  scoreHead,
  type SweepPoint,
  trainProbe,
  zeroShotHead,
  type ZeroShotHeadOptions,
} from "./learning/evaluate/linear-probe.ts";
export type { FittedHead, LabelledFeatures, LinearHead } from "./learning/evaluate/logistic-regression.ts";

/** CLIPScore. */
export {
  type Candidate,
  type CandidateColumns,
  type ClipScores,
  evaluateCaptions,
  readCandidates,
} from "./learning/evaluate/captions.ts";
export { clipScore, refClipScore } from "./learning/evaluate/clip-score.ts";

/** Geolocation. */
export {
  evaluateGeolocation,
  type GeolocationScores,
  type PlacedImage,
  readPlacedImages,
} from "./learning/evaluate/geolocation.ts";

/** Metrics. */
export {
  averagePrecision11,
  type Calibration,
  calibration,
  type ConfusionPair,
  confusionPairs,
  recallAtK,
  type ReliabilityBin,
  rocAuc,
  truthRank,
} from "./learning/evaluate/classification-metrics.ts";
