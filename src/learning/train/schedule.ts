import { checkOptions, numberFrom, oneOf, type OptionKinds, wholeNumber } from "../../core/options.ts";

/** What the learning rate follows from. */
export interface Schedule {
  /** The highest rate. */
  readonly learningRate: number;
  readonly warmupSteps: number;
  /** Updates in all. */
  readonly steps: number;
  /** What follows the warm-up: half a cosine down to nearly 0 (default), or the highest rate. */
  readonly schedule?: "cosine" | "constant" | undefined;
  /** Steps at the end of a constant rate in which it falls to nearly 0, in equal parts; default 0. */
  readonly cooldownSteps?: number | undefined;
}

const scheduleKinds: OptionKinds<Schedule> = {
  learningRate: numberFrom(0),
  warmupSteps: wholeNumber(0),
  steps: wholeNumber(1),
  schedule: oneOf("cosine", "constant"),
  cooldownSteps: wholeNumber(0),
};

/**
 * The rate of the update with this index, from 0: linear warm-up, then half a cosine down to nearly 0; or a constant rate,
 * with a linear cool-down or without.
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
