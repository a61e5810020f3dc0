import type { DownloadProgress } from "../core/progress.ts";
import type { Tensor } from "../graph/tensor.ts";
import { buildModel, type OnnxModel } from "../onnx/build.ts";

/** Makes of a program what a session takes; `onProgress` is told of weights that have to be fetched for it. */
export type PrepareProgram = (
  outputs: Readonly<Record<string, Tensor>>,
  onProgress?: (progress: DownloadProgress) => void,
) => Promise<OnnxModel>;

/** The weights stay in their files, where ONNX Runtime reads them. */
export const prepareProgram: PrepareProgram = (outputs) => Promise.resolve(buildModel(outputs));
