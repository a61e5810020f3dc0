import type { SkippedImage } from "../../src/inputs/data/image-files.ts";
import { RunFolder } from "../../src/learning/train/run-folder.ts";
import { stateWith } from "./snapshot.ts";

/** What the toy run says that it is. */
export const identity = {
  config: { seed: 0, learningRate: 0.1 },
  model: { architecture: { width: 3 } },
  samples: [
    { image: "/a.png", captions: ["a"] },
    { image: "/b.png", captions: ["b", "bee"] },
  ],
};

/** Steps of a toy run. */
export const toySteps = 4;

/**
 * A run with everything but a model: its numbers follow from those before by a rule, so that they show where it went on.
 * Goes on from the folder's checkpoint if there is one; saves every other step.
 */
export async function toyRun(
  path: string,
  { until = toySteps, skipped = [] }: { until?: number; skipped?: readonly SkippedImage[] } = {},
): Promise<void> {
  await using run = await RunFolder.open(path, identity, { resume: true });
  const state = run.saved;
  const weights = (await state?.read("parameter.weights")) ?? Float32Array.of(1, 2, 3);
  const first = (await state?.read("first.weights")) ?? new Float32Array(3);
  const second = (await state?.read("second.weights")) ?? new Float32Array(3);
  for (let step = (state?.steps ?? 0) + 1; step <= until; step++) {
    for (const i of weights.keys()) {
      first[i] = 0.9 * first[i]! + 0.1 * weights[i]!;
      second[i] = 0.99 * second[i]! + 0.01 * weights[i]! ** 2;
      weights[i]! -= (identity.config.learningRate * first[i]) / Math.sqrt(second[i]);
    }
    await run.writeMetrics({
      step,
      epoch: 0,
      loss: weights[0]!,
      learningRate: identity.config.learningRate,
      gradientNorm: weights[1]!,
      logitScale: weights[2]!,
    });
    if (step % 2 === 0) {
      await run.writeSkipped(skipped);
      const arrays = { "parameter.weights": weights, "first.weights": first, "second.weights": second };
      await run.saveCheckpoint(stateWith(step, new Map(Object.entries(arrays))));
    }
  }
}
