/** What the learning rate follows from. */
export interface Schedule {
  /** The highest rate. */
  readonly learningRate: number;
  readonly warmupSteps: number;
  /** Updates in all. */
  readonly steps: number;
}

/**
 * The rate of the update with this index, from 0: linear warm-up, then half a cosine down to nearly 0.
 *
 * @see {@link https://github.com/mlfoundations/open_clip | open_clip} `scheduler.py`, `cosine_lr`.
 */
export function scheduledLearningRate(step: number, { learningRate, warmupSteps, steps }: Schedule): number {
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / (steps - warmupSteps);
  return 0.5 * (1 + Math.cos(Math.PI * progress)) * learningRate;
}
