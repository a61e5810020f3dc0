/** A model ready to use. */
export { type ClassifyOptions, ClipModel, loadClip, type LoadOptions } from "./clip.ts";

/** Labels as vectors, computed once for many pictures. */
export { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "./classifier.ts";
export { type ClassLabel, namesOf } from "./prompts.ts";
export { defaultTemplates, noneOfThese } from "./templates.ts";
