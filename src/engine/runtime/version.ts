import { createRequire } from "node:module";

/** The version of ONNX Runtime; from its package, so that nothing native is loaded for it. */
export function onnxRuntimeVersion(): string {
  const require = createRequire(import.meta.url);
  return (require("onnxruntime-node/package.json") as { readonly version: string }).version;
}
