import { describe, expect, it } from "vitest";
import { expectEqual } from "../../../test/engine/expect-equal.ts";
import { floats, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { interpret } from "../../../test/engine/interpret.ts";
import { constant, scalar, type Tensor } from "../../engine/graph/tensor.ts";
import { type BatchNorm, batchNorm, groupNorm, type StatisticUpdate } from "./norms.ts";

const random = (shape: number[], seed: number, low = -1) => constant(randomInput(shape, { seed, low, high: 2 }));
const [n, channels, height, width] = [3, 4, 2, 5];
const count = n * height * width;
const x = random([n, channels, height, width], 1);
const plain = { weight: scalar(1).expand([channels]), bias: scalar(0).expand([channels]) };
const params = { weight: random([channels], 2), bias: random([channels], 3) };
const running = { runningMean: random([channels], 4), runningVar: random([channels], 5, 0.5) };

const train = (p: BatchNorm): { y: Tensor; updates: StatisticUpdate[] } => {
  const updates: StatisticUpdate[] = [];
  return { y: batchNorm(p, x, updates), updates };
};

describe("batchNorm", () => {
  it("in training gives each channel mean 0 and variance 1 over the batch, then gain and shift", async () => {
    const { y } = train({ ...plain, ...running });
    await expectEqual(y.mean([0, 2, 3]), scalar(0).expand([channels]));
    // Measured: 2.0e-5, what ε = 1e-5 takes off a variance of about 0.5.
    await expectEqual(y.square().mean([0, 2, 3]), scalar(1).expand([channels]), 5e-5);
    const perChannel = (tensor: Tensor) => tensor.reshape([1, channels, 1, 1]);
    const shifted = y.mul(perChannel(params.weight)).add(perChannel(params.bias));
    await expectEqual(train({ ...params, ...running }).y, shifted);
  });

  it("moves the running statistics by a tenth, the variance unbiased, and says which they were", async () => {
    const { updates } = train({ ...params, ...running });
    expect(updates.map(({ old }) => old)).toEqual([running.runningMean, running.runningVar]);
    const { data } = interpret({ x })["x"]!;
    const got = await run({ mean: updates[0]!.new, variance: updates[1]!.new });
    for (let c = 0; c < channels; c++) {
      const values = data.filter((_, i) => Math.floor(i / (height * width)) % channels === c);
      const mean = values.reduce((total, value) => total + value, 0) / count;
      const unbiased = values.reduce((total, value) => total + (value - mean) ** 2, 0) / (count - 1);
      const before = interpret(running);
      expect(floats(got["mean"])[c]).toBeCloseTo(0.9 * before["runningMean"]!.data[c]! + 0.1 * mean, 6);
      expect(floats(got["variance"])[c]).toBeCloseTo(0.9 * before["runningVar"]!.data[c]! + 0.1 * unbiased, 6);
    }
  });

  it("in inference with the batch's own statistics gives what training gives", async () => {
    const mean = x.mean([0, 2, 3]);
    const runningVar = x
      .sub(mean.reshape([1, channels, 1, 1]))
      .square()
      .mean([0, 2, 3]);
    await expectEqual(batchNorm({ ...params, runningMean: mean, runningVar }, x), train({ ...params, ...running }).y);
  });

  it("in inference takes each image by itself", () =>
    expectEqual(
      batchNorm({ ...params, ...running }, x).slice(0, 1, 1),
      batchNorm({ ...params, ...running }, x.slice(0, 1, 1)),
    ));
});

describe("groupNorm", () => {
  it("gives each group of channels of each image mean 0 and variance 1", async () => {
    const groups = groupNorm(plain, 2, x).reshape([n, 2, -1]);
    await expectEqual(groups.mean(-1), scalar(0).expand([n, 2]));
    await expectEqual(groups.square().mean(-1), scalar(1).expand([n, 2]), 5e-5);
  });

  it("takes each image by itself, and does not see its brightness or contrast", async () => {
    const y = groupNorm(params, 2, x);
    await expectEqual(groupNorm(params, 2, x.slice(0, 1, 1)), y.slice(0, 1, 1));
    await expectEqual(groupNorm(params, 2, x.mul(8).add(3)), y, 5e-5);
  });

  it("with a group for each channel is batchNorm of one image", async () => {
    const one = x.slice(0, 0, 1);
    await expectEqual(groupNorm(params, channels, one), batchNorm({ ...params, ...running }, one, []));
  });

  it("refuses channels that do not divide", () => {
    expect(() => groupNorm(params, 3, x)).toThrow("groupNorm: 4 channels do not divide into 3 groups");
  });
});
