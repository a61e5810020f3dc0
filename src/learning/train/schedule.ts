import { checkOptions, numberFrom, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";

export interface Schedule {
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly steps: number;
  /** After the warm-up: cosine decay to nearly 0 (default), or the peak rate. */
  readonly schedule?: "cosine" | "constant" | undefined;
  /** Steps of linear decay to nearly 0 at the end of a constant rate. Default 0. */
  readonly cooldownSteps?: number | undefined;
}

const scheduleKinds: OptionKinds<Schedule> = {
  ...{ learningRate: numberFrom(0), schedule: oneOf("cosine", "constant") },
  ...{ steps: wholeNumber(1), warmupSteps: wholeNumber(0), cooldownSteps: wholeNumber(0) },
};

/**
 * The learning rate of an update, counted from 0: linear warm-up, then cosine decay to nearly 0, or a constant rate with an optional
 * linear cool-down.
 *
 * @see {@link https://github.com/mlfoundations/open_clip | open_clip} `scheduler.py`, `cosine_lr`, `const_lr` and `const_lr_cooldown`.
 */
export function scheduledLearningRate(step: number, options: Schedule): number {
  checkOptions("scheduledLearningRate", options, scheduleKinds, ["learningRate", "warmupSteps", "steps"]);
  const { learningRate, warmupSteps, steps, schedule = "cosine", cooldownSteps = 0 } = options;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  if (schedule === "constant") return learningRate * Math.min(1, (steps - step) / cooldownSteps);
  const progress = (step - warmupSteps) / (steps - warmupSteps);
  return 0.5 * (1 + Math.cos(Math.PI * progress)) * learningRate;
}
