import { assert } from "../../core/errors.ts";

/**
 * Rank of the right answer: the number of wrong ones before it. Ties and NaN count as wrong, so that a constant model scores nothing.
 *
 * @param scores - of all answers, higher is better.
 * @param truths - the right answers; the best of them counts.
 */
export function truthRank(scores: ArrayLike<number>, truths: readonly number[]): number {
  const best = truths.reduce((best, truth) => (scores[truth]! > scores[best]! ? truth : best), truths[0]!);
  let rank = 0;
  for (let answer = 0; answer < scores.length; answer++)
    if (!(scores[answer]! < scores[best]!) && !truths.includes(answer)) rank++;
  return rank;
}

/** Share of queries whose right answer is among the first k: top-k accuracy, or R@k in retrieval. */
export function recallAtK(ranks: readonly number[], k: number): number {
  return ranks.filter((rank) => rank < k).length / ranks.length;
}

/** Mean of the defined values; undefined if there are none. */
export function meanOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/**
 * VOC2007's 11-point interpolated average precision (Everingham et al. 2010, section 4.2): the mean over the recalls 0, 0.1, …, 1 of
 * the best precision at that recall or higher. Ties are counted together.
 *
 * @param scores - score of the class for each image.
 * @param positive - whether each image shows the class.
 * @returns undefined without positive images.
 */
export function averagePrecision11(scores: ArrayLike<number>, positive: readonly boolean[]): number | undefined {
  const positives = positive.filter(Boolean).length;
  if (positives === 0) return undefined;
  const best = new Float64Array(11);
  let found = 0;
  let taken = 0;
  for (const tied of bestFirst(scores)) {
    found += tied.filter((i) => positive[i]).length;
    taken += tied.length;
    // Integer arithmetic: in floating point, 3 of 10 would miss the recall 3 × 0.1.
    for (let tenth = 0; tenth <= 10 && 10 * found >= tenth * positives; tenth++)
      best[tenth] = Math.max(best[tenth]!, found / taken);
  }
  return best.reduce((sum, precision) => sum + precision, 0) / 11;
}

/**
 * Area under the ROC curve: the probability that a positive scores higher than a negative, ties counting half (Mann–Whitney U).
 *
 * @returns undefined if all or none are positive.
 */
export function rocAuc(scores: ArrayLike<number>, positive: readonly boolean[]): number | undefined {
  const positives = positive.filter(Boolean).length;
  const negatives = positive.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  let won = 0;
  let before = 0;
  for (const tied of bestFirst(scores)) {
    const here = tied.filter((i) => positive[i]).length;
    const others = tied.length - here;
    won += here * (negatives - before - others / 2);
    before += others;
  }
  return won / (positives * negatives);
}

/** Indices by descending score, ties grouped. */
function bestFirst(scores: ArrayLike<number>): number[][] {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  const groups: number[][] = [];
  for (const i of order) {
    const last = groups.at(-1);
    if (last && scores[last[0]!] === scores[i]) last.push(i);
    else groups.push([i]);
  }
  return groups;
}

/** A class confused with another. */
export interface ConfusionPair {
  /** Class indices. */
  readonly truth: number;
  readonly predicted: number;
  readonly count: number;
}

/** Confusions, most frequent first. */
export function confusionPairs(truths: readonly number[], predicted: readonly number[]): ConfusionPair[] {
  const pairs = new Map<string, ConfusionPair>();
  truths.forEach((truth, i) => {
    const answer = predicted[i]!;
    if (answer === truth) return;
    const key = `${truth} ${answer}`;
    pairs.set(key, { truth, predicted: answer, count: (pairs.get(key)?.count ?? 0) + 1 });
  });
  return [...pairs.values()].sort((a, b) => b.count - a.count || a.truth - b.truth || a.predicted - b.predicted);
}

/** Answers with similar confidence. */
export interface ReliabilityBin {
  /** Confidences above this … */
  readonly low: number;
  /** … and up to this. */
  readonly high: number;
  readonly count: number;
  /** Mean confidence, and share of right answers; undefined in an empty bin. */
  readonly confidence: number | undefined;
  readonly accuracy: number | undefined;
}

/** Reliability of confidences. */
export interface Calibration {
  /** Of equal width, from 0 to 1. */
  readonly bins: readonly ReliabilityBin[];
  /** Expected calibration error: the mean of |confidence − accuracy| over bins, weighted by their answers. */
  readonly error: number;
}

/**
 * Compares confidence with accuracy, in bins (Guo et al. 2017).
 *
 * @param confidences - probabilities of the answers, in [0, 1].
 * @param right - whether each answer was right.
 */
export function calibration(confidences: readonly number[], right: readonly boolean[], binCount = 10): Calibration {
  assert(confidences.length === right.length && confidences.length > 0, "each confidence belongs to an answer");
  const members = Array.from({ length: binCount }, (): number[] => []);
  confidences.forEach((confidence, i) => members[Math.max(0, Math.ceil(confidence * binCount) - 1)]!.push(i));
  const bins = members.map((bin, i) => ({
    ...{ low: i / binCount, high: (i + 1) / binCount, count: bin.length },
    confidence: meanOfKnown(bin.map((answer) => confidences[answer])),
    accuracy: meanOfKnown(bin.map((answer) => Number(right[answer]))),
  }));
  const gaps = bins.map(({ count, confidence = 0, accuracy = 0 }) => count * Math.abs(confidence - accuracy));
  return { bins, error: gaps.reduce((sum, gap) => sum + gap, 0) / confidences.length };
}
