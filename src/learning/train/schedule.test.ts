import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { scheduledLearningRate } from "./schedule.ts";

const rates = (schedule: Parameters<typeof scheduledLearningRate>[1]) =>
  Array.from({ length: schedule.steps }, (_, step) => scheduledLearningRate(step, schedule));

describe("the learning rate", () => {
  it("rises in equal parts to its height, and the first update already moves", () => {
    const schedule = { learningRate: 8, warmupSteps: 4, steps: 100 };
    expect(rates(schedule).slice(0, 5)).toEqual([2, 4, 6, 8, 8]);
  });

  it("falls by half a cosine: half of it is left in the middle, nearly nothing at the end", () => {
    const schedule = { learningRate: 1, warmupSteps: 10, steps: 110 };
    expect(scheduledLearningRate(60, schedule)).toBeCloseTo(0.5, 15);
    expect(scheduledLearningRate(35, schedule)).toBeCloseTo((1 + Math.SQRT1_2) / 2, 15);
    expect(scheduledLearningRate(109, schedule)).toBeCloseTo((Math.PI / 100) ** 2 / 4, 6);
    const fall = rates(schedule).slice(10);
    fall.slice(1).forEach((rate, i) => expect(rate).toBeLessThan(fall[i]!));
    expect(Math.min(...fall)).toBeGreaterThan(0);
  });

  it("does without a warm-up, and with nothing else", () => {
    expect(rates({ learningRate: 1, warmupSteps: 0, steps: 2 })).toEqual([1, 0.5]);
    expect(rates({ learningRate: 1, warmupSteps: 2, steps: 2 })).toEqual([0.5, 1]);
    expect(rates({ learningRate: 1, warmupSteps: 4, steps: 2 })).toEqual([0.25, 0.5]);
  });

  it("stays at its height where it is constant, and falls in equal parts at the end if it is to cool down", () => {
    const schedule = { learningRate: 8, warmupSteps: 2, steps: 10, schedule: "constant" } as const;
    expect(rates(schedule)).toEqual([4, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
    expect(rates({ ...schedule, cooldownSteps: 4 })).toEqual([4, 8, 8, 8, 8, 8, 8, 6, 4, 2]);
  });

  it.skipIf(sharedMissing)(`is that of a recorded run, to the last digits${sharedMissing}`, () => {
    const record = JSON.parse(readFileSync(`${sharedFolder}fixtures/train/vit/train.json`, "utf8")) as {
      optimizer: { base_lr: number; warmup: number; total: number };
      steps: { lr: number }[];
    };
    const { base_lr: learningRate, warmup: warmupSteps, total: steps } = record.optimizer;
    const met = rates({ learningRate, warmupSteps, steps });
    expect(met).toHaveLength(record.steps.length);
    record.steps.forEach(({ lr }, step) => expect(Math.abs(met[step]! / lr - 1)).toBeLessThan(1e-14));
  });
});
