/** Description of a parameter for an optimizer. */
export interface OptimizedParameter {
  readonly path: string;
  readonly shape: readonly number[];
  /** False for gains, biases and logitScale, which have no weight decay. */
  readonly decay: boolean;
  /** Factor of the learning rate. Default 1. */
  readonly rateScale?: number;
}

/** Settings of one update. */
export interface UpdateOptions {
  readonly learningRate: number;
  /** Factor of all gradients, for clipping. Default 1. */
  readonly gradientScale?: number;
}

/** Updates parameters from gradients; keeps its state between steps. */
export interface Optimizer extends AsyncDisposable {
  /**
   * Makes one update.
   *
   * @param parameters - by path; each array fills its buffer, and may be replaced by a new one.
   * @param gradients - by path; consumed, and perhaps empty afterwards.
   */
  step(
    parameters: Map<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    options: UpdateOptions,
  ): Promise<void>;
}
