import { describe, expect, it } from "vitest";
import { floats, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { Random } from "../../core/random.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { reachable, concat, input, scalar, type Tensor } from "../graph/tensor.ts";
import { buildModel } from "../onnx/build.ts";
import { OrtSession } from "../runtime/ort-session.ts";
import { checkpoint, gradients } from "./gradients.ts";

describe("gradients", () => {
  const x = input("x", [3]);
  const at = { x: float32([1, 2, 3], [3]) };

  it("accumulate over several users of a tensor", async () => {
    const y = x.mul(2).add(x.square()).add(x).sum();
    const [dx] = gradients(y, [x]);
    expect(floats((await run({ dx: dx! }, at))["dx"])).toEqual(Float32Array.of(5, 7, 9));
  });

  it("keep the requested order: zeros for unused tensors, one for the loss itself", async () => {
    const unused = input("unused", [2, 2]);
    const loss = x.sum();
    const [dUnused, dLoss, dx] = gradients(loss, [unused, loss, x]);
    const results = await run({ dUnused: dUnused!, dLoss: dLoss!, dx: dx! });
    expect(floats(results["dUnused"])).toEqual(new Float32Array(4));
    expect(floats(results["dLoss"])).toEqual(Float32Array.of(1));
    expect(floats(results["dx"])).toEqual(Float32Array.of(1, 1, 1));
  });

  it("pass through a requested tensor to its inputs", async () => {
    const middle = x.mul(3);
    const [dMiddle, dx] = gradients(middle.square().sum(), [middle, x]);
    const results = await run({ dMiddle: dMiddle!, dx: dx! }, at);
    expect(floats(results["dMiddle"])).toEqual(Float32Array.of(6, 12, 18));
    expect(floats(results["dx"])).toEqual(Float32Array.of(18, 36, 54));
  });

  it("stop at stopGradient", async () => {
    const [dx] = gradients(x.mul(x.stopGradient()).sum(), [x]);
    expect(floats((await run({ dx: dx! }, at))["dx"])).toEqual(Float32Array.of(1, 2, 3));
  });

  it("start from a seed", async () => {
    const seed = input("seed", [3]);
    const [dx] = gradients(x.square(), [x], { seed });
    const results = await run({ dx: dx! }, { ...at, seed: float32([1, 10, 100], [3]) });
    expect(floats(results["dx"])).toEqual(Float32Array.of(2, 40, 600));
  });

  it("refuse a non-scalar loss and a seed of another shape", () => {
    expect(() => gradients(x, [x])).toThrow(/the loss must be a scalar\n {2}loss: float32 \[3\] x/);
    expect(() => gradients(x, [x], { seed: scalar(1) })).toThrow(/the seed must have the shape of the loss/);
  });
});

describe("the gradient of gather", () => {
  it("sums many duplicates exactly, on two threads, in each of 100 runs", async () => {
    const [rows, width, count] = [8, 96, 4096];
    const random = new Random(7);
    const indices = Int32Array.from({ length: count }, () => (random.uniform() < 0.7 ? 3 : random.integer(rows)));
    // Integers: sums of up to 4096 of them are exact in float32 in any order.
    const dy = Float32Array.from({ length: count * width }, () => random.integer(201) - 100);
    const expected = new Float32Array(rows * width);
    dy.forEach((value, i) => (expected[indices[Math.floor(i / width)]! * width + (i % width)]! += value));

    const table = input("table", [rows, width]);
    const places = input("places", [count], "int32");
    const seed = input("seed", [count, width]);
    const [dTable] = gradients(table.gather(places), [table], { seed });
    const session = await OrtSession.create(buildModel({ dTable: dTable! }), { threads: 2 });
    for (let i = 0; i < 100; i++) {
      const results = await session.run({ places: int32(indices, [count]), seed: float32(dy, [count, width]) });
      expect(floats(results["dTable"])).toEqual(expected);
    }
    await session.release();
  });
});

describe("checkpoint", () => {
  const parameters = [0, 1].map((i) => input(`w${i}`, [4, 4]));
  const x = input("x", [3, 4]);
  const feeds: Record<string, TensorData> = {
    x: randomInput([3, 4], { seed: 1 }),
    w0: randomInput([4, 4], { seed: 2 }),
    w1: randomInput([4, 4], { seed: 3 }),
  };
  /** Two layers with shared parameters; `wrap` turns parts into checkpoints. */
  type Wrap = (compute: (x: Tensor) => Tensor, x: Tensor) => Tensor;
  const plain: Wrap = (compute, x) => compute(x);
  const layer = (i: number) => (x: Tensor) => x.matmul(parameters[i]!).tanh().mul(x.sigmoid());
  const programs: readonly (readonly [string, (wrap: Wrap) => Tensor])[] = [
    ["of one layer after the other", (wrap) => wrap(layer(1), wrap(layer(0), x))],
    ["inside a checkpoint", (wrap) => wrap((y) => wrap(layer(1), wrap(layer(0), y)).exp(), x)],
    ["whose last step is a checkpoint", (wrap) => wrap((y) => wrap(layer(1), layer(0)(y)), x)],
    [
      "of a tensor that is used outside as well, as is its result",
      (wrap) => {
        const y = wrap(layer(0), x);
        return concat([wrap(layer(1), y), y, x.square()], 0);
      },
    ],
    [
      "over another tensor that is computed outside",
      (wrap) => {
        const gate = x.matmul(parameters[1]!).sigmoid();
        return wrap((y) => layer(0)(y).mul(gate), x).add(gate);
      },
    ],
    ["of what does not change", (wrap) => layer(1)(layer(0)(wrap((y) => y, x)))],
  ];

  // Measured: 6.2e-8, from the order of summation over several users; otherwise bit for bit equal.
  it.each(programs)("%s has the gradients of the plain program", async (_, build) => {
    const wrt = [x, ...parameters];
    const derive = (wrap: Wrap) => gradients(build(wrap).square().sum(), wrt);
    const results = await run(
      Object.fromEntries([...derive(plain), ...derive(checkpoint)].map((dx, i) => [`d${i}`, dx])),
      feeds,
    );
    wrt.forEach((_, i) => {
      const [wanted, got] = [floats(results[`d${i}`]), floats(results[`d${i + wrt.length}`])];
      const scale = Math.max(...wanted.map(Math.abs));
      expect(scale).toBeGreaterThan(0.01);
      wanted.forEach((value, j) => expect(Math.abs(got[j]! - value) / scale).toBeLessThan(1e-6));
    });
  });

  it("refuses to differentiate with respect to a tensor made inside", () => {
    let inside: Tensor | undefined;
    const y = checkpoint((x) => (inside = x.exp()).mul(2), x);
    expect(() => gradients(y.sum(), [inside!])).toThrow(/float32 \[3, 4\] from exp was made inside a checkpoint/);
  });

  it("has gradients of gradients", async () => {
    const penalty = (wrap: Wrap) => {
      const [dx] = gradients(wrap(layer(0), x).square().sum(), [x]);
      return gradients(dx!.square().sum(), [parameters[0]!])[0]!;
    };
    const results = await run({ wanted: penalty(plain), got: penalty(checkpoint) }, feeds);
    const [wanted, got] = [floats(results["wanted"]), floats(results["got"])];
    const scale = Math.max(...wanted.map(Math.abs));
    wanted.forEach((value, i) => expect(Math.abs(got[i]! - value) / scale).toBeLessThan(1e-6));
  });

  it("recomputes: the backward pass uses nothing of the inside but its input", () => {
    const used = (wrap: Wrap) => {
      const y = wrap((y) => layer(1)(layer(0)(y)), x);
      const inside = new Set(reachable([y]).filter((tensor) => tensor !== y && tensor.op !== "input"));
      const derived = gradients(y.sum(), [x, ...parameters]);
      const backward = reachable(derived).filter((tensor) => !inside.has(tensor));
      return backward.flatMap(({ inputs }) => inputs).filter((tensor) => inside.has(tensor)).length;
    };
    expect(used(plain)).toBeGreaterThan(5);
    expect(used(checkpoint)).toBe(0);
  });
});
