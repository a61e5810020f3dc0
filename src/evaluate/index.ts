/** Models on pictures of which the truth is known. */
export { evaluateZeroShot, type Answer, type ClassScores, type ZeroShotScores } from "./zero-shot.ts";
export { evaluateRetrieval, type RetrievalScores } from "./retrieval.ts";
export { evaluateCaptions, readCandidates } from "./captions.ts";
export { type CaptionedPicture, readCaptionTable } from "./captioned-pictures.ts";
export { evaluateGeolocation, readPlacedPictures } from "./geolocation.ts";
export { areWordNetIds, classLabel, classLines, nameClasses, type NamedPictures } from "./class-names.ts";
export { type LabelledPicture, onlyClasses, readLabelledPictures, relabel } from "./labelled-pictures.ts";

/** The data sets of the CLIP paper. */
export { BenchmarkSet } from "./benchmark-set.ts";
export { type KnownSet, knownSets, metricNames, type PublishedScore, publishedScore } from "./known-sets.ts";

/** What is computed here against what was recorded elsewhere. */
export { packageFixtures, parity, type ParityRow } from "./parity.ts";
export { type Machine, thisMachine } from "./machine.ts";

/** Linear probes: labelled pictures to features, and a head on these. */
export { encodeLabelled, type FeatureKind } from "./picture-features.ts";
export {
  drawPerClass,
  type HeadScores,
  type Probe,
  scoreHead,
  type SweepPoint,
  trainProbe,
  zeroShotHead,
} from "./linear-probe.ts";
