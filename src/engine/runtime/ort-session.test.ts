import { describe, expect, it } from "vitest";
import { float32 } from "../../core/tensor-data.ts";
import { input } from "../graph/tensor.ts";
import { buildModel } from "../onnx/build.ts";
import { OrtSession } from "./ort-session.ts";

describe("a session without an arena", () => {
  it("keeps no buffers after a run, and computes the same numbers", async () => {
    const side = 5000;
    const row = input("x", [1, side]);
    const model = buildModel({
      y: row
        .add(row.reshape([side, 1]))
        .exp()
        .exp()
        .sum(),
    });
    const x = float32(
      Float32Array.from({ length: side }, (_, i) => Math.sin(i)),
      [1, side],
    );
    const results: unknown[] = [];
    const gained: number[] = [];
    for (const arena of [true, false]) {
      const before = process.memoryUsage.rss();
      const session = await OrtSession.create(model, { training: true, arena });
      results.push((await session.run({ x })).y!.data);
      gained.push(process.memoryUsage.rss() - before);
      await session.release();
    }
    // Two tensors of 100 MB exist in the middle of a run.
    const [kept, gone] = gained;
    expect(results[1]).toEqual(results[0]);
    expect(kept).toBeGreaterThan(90e6);
    expect(gone).toBeLessThan(40e6);
  });
});
