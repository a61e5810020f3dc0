/** Pages that people look at: one HTML file each, with pictures and curves inside. */
export { classifyPage } from "./classify-page.ts";
export { dataPage } from "./data-page.ts";
export { finetunePage } from "./finetune-page.ts";
export { retrievalPage } from "./retrieval-page.ts";
export { trainPage } from "./train-page.ts";
export type { TrainMetric, ValidationResult } from "./train-page.ts";
export { zeroShotPage } from "./zero-shot-page.ts";
