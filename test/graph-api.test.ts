import { expect, it } from "vitest";
import * as graph from "../src/graph.ts";

it('"clip-ts/graph" holds these names', () => {
  expect(Object.keys(graph).sort()).toMatchInlineSnapshot(`
    [
      "AdamW",
      "ClipError",
      "OrtSession",
      "Ranger",
      "Session",
      "ShapeError",
      "Tensor",
      "averagePool",
      "buildModel",
      "checkpoint",
      "concat",
      "constant",
      "conv2d",
      "float32",
      "gradients",
      "input",
      "int32",
      "lbfgs",
      "minimize",
      "printProgram",
      "scalar",
      "stored",
      "where",
    ]
  `);
});

it("suffices to fit a line: a program, its gradients, a session", async () => {
  const { float32, gradients, input, Session } = graph;
  const [x, y, slope, shift] = [input("x", ["points"]), input("y", ["points"]), input("slope", []), input("shift", [])];
  const loss = x.mul(slope).add(shift).sub(y).square().sum();
  const [dSlope, dShift] = gradients(loss, [slope, shift]);
  const step = 0.05;
  await using session = await Session.compile({
    nextSlope: slope.sub(dSlope!.mul(step)),
    nextShift: shift.sub(dShift!.mul(step)),
  });
  const points = [0, 0.5, 1, 1.5];
  const feeds = {
    x: float32(points, [4]),
    y: float32(
      points.map((point) => 3 * point - 2),
      [4],
    ),
  };
  let [slopeNow, shiftNow] = [float32([0], []), float32([0], [])] as graph.TensorData[];
  for (let i = 0; i < 300; i++) {
    const next = await session.run({ ...feeds, slope: slopeNow!, shift: shiftNow! });
    [slopeNow, shiftNow] = [next["nextSlope"], next["nextShift"]];
  }
  expect(slopeNow!.data[0]).toBeCloseTo(3, 4);
  expect(shiftNow!.data[0]).toBeCloseTo(-2, 4);
});
