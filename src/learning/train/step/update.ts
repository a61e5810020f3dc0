import type { BatchGradients } from "./batch-gradients.ts";
import { maxLogitScale } from "./losses.ts";
import type { StateOptions, TrainerState } from "./trainer-state.ts";

export interface StepUpdateOptions extends Pick<StateOptions, "config" | "emaDecay"> {
  /** Gradients with a larger norm are scaled down to it. */
  readonly gradClipNorm?: number | undefined;
}

interface Update extends Pick<BatchGradients, "gradients" | "statistics"> {
  readonly learningRate: number;
  /** Of all gradients together. */
  readonly gradientNorm: number;
}

/** Makes one update: clipped gradients through AdamW, running statistics, the bounds of logitScale, the moving average. */
export async function update(
  state: TrainerState,
  { learningRate, gradients, gradientNorm, statistics }: Update,
  { config, gradClipNorm, emaDecay }: StepUpdateOptions,
): Promise<void> {
  const gradientScale = gradClipNorm === undefined ? 1 : Math.min(1, gradClipNorm / (gradientNorm + 1e-6));
  await state.adamw.step(state.parameters, gradients, { learningRate, gradientScale });
  for (const [path, values] of statistics) state.parameters.set(path, values);
  if (config.score !== "sigmoid") clampLogitScale(state.parameters.get("logitScale")!);
  if (emaDecay !== undefined) updateAverage(state, emaDecay);
}

function clampLogitScale(logitScale: Float32Array): void {
  logitScale[0] = Math.min(Math.max(logitScale[0]!, 0), maxLogitScale);
}

function updateAverage({ parameters, average, steps }: TrainerState, emaDecay: number): void {
  // A smaller decay in the first steps: the initial values would weigh too much.
  const decay = Math.min(emaDecay, (1 + steps) / (10 + steps));
  for (const [path, values] of parameters) {
    const mean = average!.get(path)!;
    // In this form a parameter that does not change keeps its average to the bit.
    for (let i = 0; i < values.length; i++) mean[i]! += (values[i]! - mean[i]!) * (1 - decay);
  }
}
