import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import {
  averagePrecision11,
  calibration,
  confusionPairs,
  meanOfKnown,
  recallAtK,
  rocAuc,
  truthRank,
} from "./classification-metrics.ts";

/** What scripts/fixtures-metrics.py has recorded of scikit-learn. */
interface Recorded {
  readonly truths: number[];
  readonly scores: number[][];
  readonly tied: number[][];
  readonly top1: number;
  readonly top2: number;
  readonly top5: number;
  readonly meanPerClass: number;
  readonly confusion: number[][];
  readonly rocAuc: number[];
  readonly averagePrecision11: number[];
  readonly confidences: number[];
  readonly right: number[];
  readonly calibrationCurve: { readonly accuracy: number[]; readonly confidence: number[] };
}
const recorded = JSON.parse(
  readFileSync(new URL("../../../fixtures/metrics/classification.json", import.meta.url), "utf8"),
) as Recorded;
const { truths, scores, tied } = recorded;
const classes = scores[0]!.map((_, i) => i);
const column = (of: number[][], i: number) => of.map((row) => row[i]!);
const predicted = scores.map((row) => row.indexOf(Math.max(...row)));

// Measured against scikit-learn: at most 2e-16; the next possible value of each is at least 1e-3 away.
const digits = 12;

describe("the metrics of scikit-learn's recordings", () => {
  it("are the same in top-k accuracy and mean per class", () => {
    const ranks = scores.map((row, i) => truthRank(row, [truths[i]!]));
    expect(recallAtK(ranks, 1)).toBeCloseTo(recorded.top1, digits);
    expect(recallAtK(ranks, 2)).toBeCloseTo(recorded.top2, digits);
    expect(recallAtK(ranks, 5)).toBeCloseTo(recorded.top5, digits);
    const perClass = classes.map((c) => {
      const own = ranks.filter((_, i) => truths[i] === c);
      return own.length === 0 ? undefined : recallAtK(own, 1);
    });
    expect(perClass.at(-1)).toBeUndefined();
    expect(meanOfKnown(perClass)).toBeCloseTo(recorded.meanPerClass, digits);
  });

  it("are the same in confusions", () => {
    const counts = classes.map(() => classes.map(() => 0));
    const pairs = confusionPairs(truths, predicted);
    for (const { truth, predicted, count } of pairs) counts[truth]![predicted] = count;
    expect(counts).toEqual(recorded.confusion.map((row, i) => row.map((count, j) => (i === j ? 0 : count))));
    expect(pairs.map(({ count }) => count)).toEqual(pairs.map(({ count }) => count).sort((a, b) => b - a));
  });

  it("are the same in areas and precisions, where many scores are equal", () => {
    expect(new Set(tied.flat()).size).toBeLessThan(60);
    recorded.rocAuc.forEach((area, c) => {
      const positive = truths.map((truth) => truth === c);
      expect(rocAuc(column(tied, c), positive)).toBeCloseTo(area, digits);
      expect(averagePrecision11(column(tied, c), positive)).toBeCloseTo(recorded.averagePrecision11[c]!, digits);
    });
  });

  it("are the same in reliability", () => {
    const { bins, error } = calibration(
      recorded.confidences,
      recorded.right.map((right) => right === 1),
    );
    const filled = bins.filter(({ count }) => count > 0);
    const { accuracy, confidence } = recorded.calibrationCurve;
    expect(filled).toHaveLength(accuracy.length);
    filled.forEach((bin, i) => {
      expect(bin.accuracy).toBeCloseTo(accuracy[i]!, digits);
      expect(bin.confidence).toBeCloseTo(confidence[i]!, digits);
    });
    const gaps = filled.map(({ count }, i) => (count / truths.length) * Math.abs(accuracy[i]! - confidence[i]!));
    expect(error).toBeCloseTo(
      gaps.reduce((a, b) => a + b),
      digits,
    );
  });
});

describe("truthRank", () => {
  it("counts ties against the truth, and what is no number", () => {
    expect(truthRank([1, 1, 1], [0])).toBe(2);
    expect(truthRank([2, NaN, 1], [0])).toBe(1);
    expect(truthRank([NaN, NaN], [1])).toBe(1);
  });

  it("takes the best of several truths, which do not stand in each other's way", () => {
    expect(truthRank([0.5, 0.9, 0.8, 0.1], [0, 2])).toBe(1);
    expect(truthRank([0.8, 0.1, 0.8], [0, 2])).toBe(0);
  });
});

describe("rocAuc", () => {
  it("is ½ if all scores are equal, 1 if they part both kinds, and unknown where one kind is missing", () => {
    expect(rocAuc([3, 3, 3], [true, false, true])).toBe(0.5);
    expect(rocAuc([1, 2, 3], [false, true, true])).toBe(1);
    expect(rocAuc([1, 2], [true, true])).toBeUndefined();
    expect(rocAuc([1, 2], [false, false])).toBeUndefined();
  });

  it("of the opposite is what is missing to 1", () => {
    const seed = 7;
    const random = new Random(seed);
    const scores = Array.from({ length: 50 }, () => random.integer(8));
    const positive = scores.map(() => random.integer(2) === 1);
    const opposite = positive.map((is) => !is);
    expect(rocAuc(scores, positive)! + rocAuc(scores, opposite)!, `seed ${seed}`).toBeCloseTo(1, digits);
  });
});

describe("averagePrecision11", () => {
  it("takes the best precision at a recall or beyond it, at eleven recalls", () => {
    // Found at places 1, 3 and 6: precision 1 up to recall ⅓ (four points), ⅔ up to ⅔ (three), ½ up to 1 (four).
    const positive = [true, false, true, false, false, true];
    expect(averagePrecision11([6, 5, 4, 3, 2, 1], positive)).toBeCloseTo((4 * 1 + 3 * (2 / 3) + 4 * 0.5) / 11, digits);
  });

  it("reaches the recall 0.3 with 3 of 10, which 3 × 0.1 as a fraction does not", () => {
    // Three found at once; the other seven behind 90 that are not: a tenth at the end.
    const positive = Array.from({ length: 100 }, (_, i) => i < 3 || i >= 93);
    const scores = positive.map((_, i) => -i);
    expect(averagePrecision11(scores, positive)).toBeCloseTo((4 * 1 + 7 * 0.1) / 11, digits);
  });

  it("is the share of positives if all scores are equal, and unknown without any", () => {
    expect(averagePrecision11([1, 1, 1, 1], [true, false, false, false])).toBeCloseTo(0.25, digits);
    expect(averagePrecision11([1, 2], [false, false])).toBeUndefined();
  });
});

describe("calibration", () => {
  it("has no error if the share that is right is the confidence, and all of it where certainty is wrong", () => {
    expect(calibration([0.75, 0.75, 0.75, 0.75], [true, true, true, false]).error).toBeCloseTo(0, digits);
    expect(calibration([1, 1], [false, false]).error).toBe(1);
  });

  it("puts a confidence on the border into the lower bin, 0 into the first, and leaves empty bins open", () => {
    const { bins } = calibration([0, 0.5, 0.51, 1], [false, true, true, true], 4);
    expect(bins.map(({ count }) => count)).toEqual([1, 1, 1, 1]);
    expect(calibration([1], [true], 2).bins[0]).toEqual({
      ...{ low: 0, high: 0.5, count: 0 },
      ...{ confidence: undefined, accuracy: undefined },
    });
  });
});
