import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSafetensorsFixture, sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { Ranger } from "./ranger.ts";

describe("Ranger", () => {
  it("uses plain momentum for five steps, then the rectified rate", async () => {
    const ranger = new Ranger([{ path: "p", shape: [1], decay: true }]);
    const values = new Map([["p", Float32Array.of(0)]]);
    const moves: number[] = [];
    for (let step = 0; step < 7; step++) {
      const before = values.get("p")![0]!;
      await ranger.step(values, new Map([["p", Float32Array.of(3)]]), { learningRate: 0.01 });
      moves.push(values.get("p")![0]! - before);
    }
    // With a constant gradient, bias-corrected momentum is the gradient itself.
    for (const move of moves.slice(0, 5)) expect(move).toBeCloseTo(-0.03, 6);
    // Step 6 is rectified by a factor far below 1, then moved halfway back to the start.
    expect(values.get("p")![0]).toBeGreaterThan(-0.1);
  });

  it("does not change a matrix whose gradient is constant along each row", async () => {
    const ranger = new Ranger([{ path: "m", shape: [2, 2], decay: true }]);
    const values = new Map([["m", Float32Array.of(1, 2, 3, 4)]]);
    await ranger.step(values, new Map([["m", Float32Array.of(5, 5, -1, -1)]]), { learningRate: 1 });
    expect([...values.get("m")!]).toEqual([1, 2, 3, 4]);
  });

  it.skipIf(sharedMissing !== "")(`takes the original's steps${sharedMissing}`, async () => {
    const tensors = readSafetensorsFixture(join(sharedFolder, "fixtures/style/ranger/ranger.safetensors"));
    const valuesOf = (name: string) => tensors.get(name)?.values as Float32Array | undefined;
    const names = [...tensors.keys()].filter((name) => name.startsWith("init.")).map((name) => name.slice(5));
    expect(names).toHaveLength(7);
    for (const learningRate of [0.5, 0.001]) {
      const ranger = new Ranger(
        names.map((path) => ({ path, shape: tensors.get(`init.${path}`)!.shape, decay: true })),
      );
      const values = new Map(names.map((path) => [path, valuesOf(`init.${path}`)!.slice()]));
      for (let step = 1; step <= 25; step++) {
        const gradientOf = (path: string) => {
          const all = valuesOf(`grad.${path}`)!;
          return all.slice(((step - 1) * all.length) / 25, (step * all.length) / 25);
        };
        await ranger.step(values, new Map(names.map((path) => [path, gradientOf(path)])), { learningRate });
        for (const path of names) {
          const wanted = valuesOf(`lr${learningRate}.step${step}.${path}`);
          if (!wanted) continue;
          const got = values.get(path)!;
          const error = Math.hypot(...got.map((value, i) => value - wanted[i]!)) / Math.hypot(...wanted);
          expect(error, `${path}, rate ${learningRate}, step ${step}`).toBeLessThan(1e-5);
        }
      }
    }
  });
});
