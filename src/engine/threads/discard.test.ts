import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { float32 } from "../../core/tensor-data.ts";
import { input } from "../graph/tensor.ts";
import { buildModel } from "../onnx/build.ts";
import { discard } from "./discard.ts";
import { OrtSession } from "../runtime/ort-session.ts";

it("frees a session's results without garbage collection", async () => {
  const size = 25_000_000; // 100 MB
  const x = float32(new Float32Array(size), [size]);
  const session = await OrtSession.create(buildModel({ y: input("x", [size]).exp() }), { training: true });
  const resident: number[] = [];
  for (let i = 0; i < 8; i++) {
    const { y } = await session.run({ x });
    const data = y!.data as Float32Array;
    expect(data[size - 1]).toBe(1);
    discard([data]);
    expect(data).toHaveLength(0);
    await setTimeout(10);
    resident.push(process.memoryUsage().rss);
  }
  await session.release();
  expect(Math.max(...resident) - resident[1]!).toBeLessThan(150e6);
});
