// The door "clip-ts/evaluate": accuracy, retrieval, linear probes and CLIPScore of a model.

import "./core/globals.ts";

/** Labelled and captioned images. */
export { readLabelledImages } from "./inputs/data/labelled-images.ts";
export type { LabelledImage, LabelledImages, LabelledOptions } from "./inputs/data/labelled-images.ts";
export { type CaptionColumns, readCaptionTable } from "./inputs/data/captioned-images.ts";
export type { FilePart, ImageLocation } from "./inputs/data/image-location.ts";
export type { SkippedImage } from "./inputs/data/image-files.ts";
export type { Sample } from "./inputs/data/sources/samples.ts";

/** Zero-shot classification. */
export { evaluateZeroShot } from "./learning/evaluate/zero-shot.ts";
export type { ClassScores, ZeroShotAnswer, ZeroShotOptions, ZeroShotScores } from "./learning/evaluate/zero-shot.ts";
export type { NamedImages } from "./learning/evaluate/class-names.ts";
export type { ReadOptions } from "./model/embedding/encode-readable.ts";

/** Published data sets, robustness sets among them, and their published scores. */
export { BenchmarkSet, type SetImages } from "./learning/evaluate/benchmark-set.ts";
export { classLabel } from "./learning/evaluate/class-names.ts";
export { knownSets, publishedScore } from "./learning/evaluate/known-sets.ts";
export type { KnownSet, PublishedScore, SetMetric } from "./learning/evaluate/known-sets.ts";

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
export { scoreHead, trainProbe, zeroShotHead } from "./learning/evaluate/linear-probe.ts";
export type {
  HeadScores,
  Probe,
  ProbeOptions,
  SweepPoint,
  ZeroShotHeadOptions,
} from "./learning/evaluate/linear-probe.ts";
export type { FittedHead, LabelledFeatures, LinearHead } from "./learning/evaluate/logistic-regression.ts";

/** CLIPScore. */
export { evaluateCaptions, readCandidates } from "./learning/evaluate/captions.ts";
export type { Candidate, CandidateColumns, ClipScores } from "./learning/evaluate/captions.ts";
export { clipScore, refClipScore } from "./learning/evaluate/clip-score.ts";

/** Geolocation. */
export { evaluateGeolocation, readPlacedImages } from "./learning/evaluate/geolocation.ts";
export type { GeolocationScores, PlacedImage } from "./learning/evaluate/geolocation.ts";

/** Metrics. */
export {
  averagePrecision11,
  calibration,
  confusionPairs,
  recallAtK,
  rocAuc,
  truthRank,
} from "./learning/evaluate/classification-metrics.ts";
export type { Calibration, ConfusionPair, ReliabilityBin } from "./learning/evaluate/classification-metrics.ts";
