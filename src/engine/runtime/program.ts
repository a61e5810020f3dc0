import type { DownloadProgress } from "../../core/progress.ts";
import type { Tensor } from "../graph/tensor.ts";
import { buildModel, type OnnxModel } from "../onnx/build.ts";

/** Options for fetching a program's weights in a page. */
export interface WeightOptions {
  /** Called with the progress of all weights. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Converts a program to the input of a session. */
export type PrepareProgram = (outputs: Readonly<Record<string, Tensor>>, options?: WeightOptions) => Promise<OnnxModel>;

/** Leaves weights in their files, where ONNX Runtime reads them. */
export const prepareProgram: PrepareProgram = (outputs) => Promise.resolve(buildModel(outputs));
