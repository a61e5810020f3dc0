/** A parameter as an optimizer sees it. */
export interface OptimizedParameter {
  readonly path: string;
  readonly shape: readonly number[];
  /** False for gains, biases and logitScale, which weight decay leaves alone. */
  readonly decay: boolean;
  /** Multiplies the learning rate; default 1. */
  readonly rateScale?: number;
}

/** One update's settings. */
export interface UpdateOptions {
  readonly learningRate: number;
  /** Multiplies all gradients: clipping. Default 1. */
  readonly gradientScale?: number;
}

/** Updates parameters by their gradients, and keeps what it needs from step to step. */
export interface Optimizer extends AsyncDisposable {
  /**
   * One update.
   *
   * @param parameters - by path; each fills its buffer. Arrays may be replaced by others with the new values.
   * @param gradients - by path; they are used up, and may be empty afterwards.
   */
  step(
    parameters: Map<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    options: UpdateOptions,
  ): Promise<void>;
}
