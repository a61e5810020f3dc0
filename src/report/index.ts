/** Pages that people look at: one HTML file each, with pictures and curves inside. */
export { classifyPage } from "./classify-page.ts";
export { dataPage } from "./data-page.ts";
export { finetunePage } from "./finetune-page.ts";
export { counted, duration } from "./numbers.ts";
export { retrievalPage } from "./retrieval-page.ts";
export { trainPage } from "./train-page.ts";
export type { SamplePrediction } from "./prediction-cards.ts";
export type { TrainMetric, TrainReport, ValidationResult } from "./train-page.ts";
export { watchPage, watchParts, type WatchState, type WatchedRun } from "./watch-page.ts";
export { zeroShotPage } from "./zero-shot-page.ts";
