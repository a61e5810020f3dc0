import type { DownloadProgress } from "../../core/progress.ts";
import type { Tensor } from "../graph/tensor.ts";
import { buildModel, type OnnxModel } from "../onnx/build.ts";

/** In a page: how the weights of a program are fetched. */
export interface WeightOptions {
  /** Is told how much of the program's weights has arrived. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Stops. */
  readonly signal?: AbortSignal | undefined;
}

/** Makes of a program what a session takes. */
export type PrepareProgram = (outputs: Readonly<Record<string, Tensor>>, options?: WeightOptions) => Promise<OnnxModel>;

/** The weights stay in their files, where ONNX Runtime reads them. */
export const prepareProgram: PrepareProgram = (outputs) => Promise.resolve(buildModel(outputs));
