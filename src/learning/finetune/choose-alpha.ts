import type { ValidationScores } from "../train/run-folder.ts";

/** Scores of a blend of original and tuned weights. */
export interface SweepScores {
  /** Share of the tuned weights. */
  readonly alpha: number;
  readonly validation: ValidationScores;
  /** On the general set, if any. */
  readonly general?: ValidationScores | undefined;
}

/**
 * Chooses the blend to keep. With a general set: the best on the validation images among blends that lose at most `maxLoss` of the
 * general top-1, ties going to the smaller alpha. Without one, losses are invisible, so the smallest alpha within a standard error
 * of the best (Breiman et al. 1984, section 3.4.3).
 *
 * @param sweep - in ascending order of alpha, the original first.
 * @param maxLoss - in [0, 1].
 */
export function chooseAlpha(
  sweep: readonly SweepScores[],
  maxLoss: number,
): { readonly alpha: number; readonly why: string } {
  const [original] = sweep as readonly [SweepScores, ...SweepScores[]];
  const best = (of: readonly SweepScores[]) => of.reduce((a, b) => (b.validation.top1 > a.validation.top1 ? b : a));
  if (!original.general) {
    const { top1, count } = best(sweep).validation;
    const error = Math.sqrt((top1 * (1 - top1)) / count);
    const { alpha } = sweep.find(({ validation }) => validation.top1 >= top1 - error)!;
    const why =
      `the smallest alpha whose top-1 is within a standard error (${points(error)}) of the best, ` +
      `${percent(top1)}; without a general set, losses cannot be measured`;
    return { alpha, why };
  }
  const before = original.general.top1;
  // Tolerates rounding errors of shares that are equal.
  const allowed = sweep.filter(({ general }) => general!.top1 >= before - maxLoss - 1e-9);
  const { alpha, validation } = best(allowed);
  const limit = `among blends that lose at most ${points(maxLoss)} on the general set`;
  if (alpha > 0) return { alpha, why: `the best on your images, ${percent(validation.top1)}, ${limit}` };
  const wanted = best(sweep);
  const why =
    wanted.alpha === 0
      ? "no blend is better on your images than the original"
      : `the original is the best on your images ${limit}; ${wanted.alpha} would gain ` +
        `${points(wanted.validation.top1 - validation.top1)} and lose ${points(before - wanted.general!.top1)}`;
  return { alpha, why };
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const points = (share: number) => `${(100 * share).toFixed(1)} points`;
