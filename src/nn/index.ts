/** Layers as functions of parameter records. */
export * from "./layers.ts";
export * from "./norms.ts";
