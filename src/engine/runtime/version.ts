import { createRequire } from "node:module";

/** Version of ONNX Runtime, read from its package.json to avoid loading native code. */
export function onnxRuntimeVersion(): string {
  const require = createRequire(import.meta.url);
  return (require("onnxruntime-node/package.json") as { readonly version: string }).version;
}
