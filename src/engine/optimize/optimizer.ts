import { numberFrom, type OptionKinds } from "../../core/options.ts";

/** A parameter as an optimizer sees it. */
export interface OptimizedParameter {
  readonly path: string;
  readonly shape: readonly number[];
  /** Whether weight decay applies; it does not to gains, biases and logitScale. */
  readonly decay: boolean;
  /** Multiplies the learning rate; default 1. */
  readonly rateScale?: number;
}

export interface UpdateOptions {
  readonly learningRate: number;
  /** Multiplies all gradients: clipping. Default 1. */
  readonly gradientScale?: number;
}

export const updateKinds: OptionKinds<UpdateOptions> = { learningRate: numberFrom(0), gradientScale: numberFrom(0) };

/** Updates parameters by their gradients, and keeps its moments between steps. */
export interface Optimizer extends AsyncDisposable {
  /**
   * One update.
   *
   * @param parameters - by path; each fills its buffer. The map gets the new values, perhaps in other arrays.
   * @param gradients - by path; they may be empty afterwards.
   */
  step(
    parameters: Map<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    options: UpdateOptions,
  ): Promise<void>;
}
