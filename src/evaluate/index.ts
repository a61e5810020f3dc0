/** What is computed here against what was recorded elsewhere. */
export { packageFixtures, parity, type ParityRow } from "./parity.ts";
export { type Machine, thisMachine } from "./machine.ts";

/** Linear probes: labelled pictures to features, and a head on these. */
export { type LabelledPicture, readLabelledPictures, relabel } from "./labelled-pictures.ts";
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
