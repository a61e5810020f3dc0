import { describe, expect, it } from "vitest";
import { expectEqual } from "../../../test/engine/expect-equal.ts";
import { floats, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { interpret } from "../../../test/engine/interpret.ts";
import { float32 } from "../../core/tensor-data.ts";
import { concat, constant, scalar, type Tensor } from "../../engine/graph/tensor.ts";
import {
  attend,
  attention,
  type Attention,
  type Block,
  block,
  l2Normalize,
  layerNorm,
  linear,
  mergeHeads,
  mlp,
  splitHeads,
} from "./layers.ts";

const random = (shape: number[], seed: number) => constant(randomInput(shape, { seed }));
const zeros = (...shape: number[]) => scalar(0).expand(shape);
const ones = (...shape: number[]) => scalar(1).expand(shape);

// Equal here is within 3e-6; measured: 1.4e-6 at most, with values up to 7.

/** The same rows of [N, L, W] in another order. */
const reorder = (x: Tensor, order: readonly number[]) =>
  concat(
    order.map((i) => x.slice(-2, i, 1)),
    -2,
  );

const attentionOf = (width: number, seed: number): Attention => ({
  qkv: { weight: random([3 * width, width], seed), bias: random([3 * width], seed + 1) },
  out: { weight: random([width, width], seed + 2), bias: random([width], seed + 3) },
});

describe("linear", () => {
  it("is x·Wᵀ + b over the last axis, whatever stands before it", async () => {
    const layer = { weight: constant(float32([1, 2, 3, 4, 5, 6], [2, 3])), bias: constant(float32([10, 20], [2])) };
    const x = constant(float32([1, 0, -1, 2, 2, 2], [1, 2, 1, 3]));
    await expectEqual(linear(layer, x), constant(float32([8, 18, 22, 50], [1, 2, 1, 2])));
  });
});

describe("layerNorm", () => {
  const x = random([4, 16], 1);

  it("gives rows of mean 0 and variance 1, then gain and shift", async () => {
    const y = layerNorm({ weight: ones(16), bias: zeros(16) }, x);
    await expectEqual(y.mean(-1), zeros(4));
    // ε = 1e-5 inside the root takes 3e-5 off a variance of 1/3.
    const { variance } = await run({ variance: y.square().mean(-1) });
    floats(variance).forEach((value) => expect(Math.abs(value - 1)).toBeLessThan(6e-5));
    const [weight, bias] = [random([16], 2), random([16], 3)];
    await expectEqual(layerNorm({ weight, bias }, x), y.mul(weight).add(bias));
  });

  it("does not see a constant added to a row", async () => {
    const params = { weight: random([16], 2), bias: random([16], 3) };
    await expectEqual(layerNorm(params, x.add(4)), layerNorm(params, x));
  });
});

describe("attention", () => {
  const [q, k, v] = [1, 2, 3].map((seed) => random([2, 2, 5, 4], seed)) as [Tensor, Tensor, Tensor];
  const order = [3, 0, 4, 1, 2];

  it("does not see the order of keys, if their values go with them", () =>
    expectEqual(attend(q, reorder(k, order), reorder(v, order)), attend(q, k, v)));

  it("gives results in the order of the queries", () =>
    expectEqual(attend(reorder(q, order), k, v), reorder(attend(q, k, v), order)));

  it("is the mean of the values when nothing tells the keys apart", () =>
    expectEqual(attend(q, zeros(2, 2, 5, 4), v), v.mean(-2, { keepDims: true }).expand([2, 2, 5, 4])));

  it("is the value of the one key that matches", async () => {
    const identity = constant(
      float32(
        Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 40 : 0)),
        [1, 1, 4, 4],
      ),
    );
    const values = random([1, 1, 4, 4], 5);
    await expectEqual(attend(identity, identity, values), values);
  });

  it("divides the scores by the root of the head's size", async () => {
    const scores = q.matmul(k.T).div(2);
    await expectEqual(attend(q, k, v), scores.softmax(-1).matmul(v));
  });

  it("under a causal mask does not see later tokens", async () => {
    const mask = constant(
      float32(
        Array.from({ length: 25 }, (_, i) => (i % 5 > Math.floor(i / 5) ? -Infinity : 0)),
        [5, 5],
      ),
    );
    const [p, x] = [attentionOf(8, 10), random([1, 5, 8], 20)];
    const changed = concat([x.slice(1, 0, 3), random([1, 2, 8], 21)], 1);
    const first = (y: Tensor) => y.slice(1, 0, 3);
    await expectEqual(first(attention(p, 2, changed, { mask })), first(attention(p, 2, x, { mask })));
    const { apart } = await run({
      apart: attention(p, 2, changed)
        .sub(attention(p, 2, x))
        .slice(1, 0, 3)
        .square()
        .sum(),
    });
    expect(floats(apart)[0]).toBeGreaterThan(0.01);
  });

  it("computed where it is read is what it is among all", async () => {
    const [p, x] = [attentionOf(8, 50), random([2, 5, 8], 60)];
    const read = (tokens: Tensor) => concat([tokens.slice(1, 3, 1), tokens.slice(1, 0, 1)], 1);
    await expectEqual(attention(p, 2, x, { read }), read(attention(p, 2, x)));
  });

  it("over several heads is each head by itself, side by side", async () => {
    const [width, heads] = [8, 2];
    const [p, x] = [attentionOf(width, 30), random([2, 5, width], 40)];
    const side = width / heads;
    const head = (h: number) => {
      const [q, k, v] = [0, 1, 2].map((third) => {
        const rows = (tensor: Tensor) => tensor.slice(0, third * width + h * side, side);
        return linear({ weight: rows(p.qkv.weight), bias: rows(p.qkv.bias) }, x);
      });
      return attend(q!, k!, v!);
    };
    await expectEqual(attention(p, heads, x), linear(p.out, concat([head(0), head(1)], -1)));
  });

  it("splits heads as it merges them, and refuses widths that do not divide", async () => {
    const x = random([2, 3, 8], 1);
    expect(splitHeads(x, 4).shape).toEqual([2, 4, 3, 2]);
    await expectEqual(mergeHeads(splitHeads(x, 4)), x);
    expect(() => splitHeads(x, 3)).toThrow("attention: width 8 does not divide into 3 heads\n  x: float32 [2, 3, 8]");
  });
});

describe("the MLP", () => {
  it.each([
    ["quickGelu", 0.8458],
    ["gelu", 0.8413],
    ["geluTanh", 0.8412],
  ] as const)("applies %s between its layers: at 1 it is %d", async (activation, atOne) => {
    const fc = { weight: constant(float32([2], [1, 1])), bias: constant(float32([-1], [1])) };
    const proj = { weight: constant(float32([10], [1, 1])), bias: constant(float32([3], [1])) };
    const { y } = await run({ y: mlp({ fc, proj }, activation, ones(1, 1)) });
    expect(floats(y)[0]).toBeCloseTo(10 * atOne + 3, 3);
  });
});

describe("a block", () => {
  const width = 8;
  const norm = (seed: number) => ({ weight: random([width], seed), bias: random([width], seed + 1) });
  const p: Block = {
    ln1: norm(1),
    attn: attentionOf(width, 3),
    ln2: norm(7),
    mlp: {
      fc: { weight: random([4 * width, width], 9), bias: random([4 * width], 10) },
      proj: { weight: random([width, 4 * width], 11), bias: random([width], 12) },
    },
  };
  const config = { heads: 2, activation: "gelu" } as const;
  const x = random([2, 5, width], 13);

  it("is its input when the last layers of both branches are zero", async () => {
    const nothing = (inside: number) => ({ weight: zeros(width, inside), bias: zeros(width) });
    const still = { ...p, attn: { ...p.attn, out: nothing(width) }, mlp: { ...p.mlp, proj: nothing(4 * width) } };
    await expectEqual(block(still, config, x), x);
  });

  it("moves tokens as its input moves them", () =>
    expectEqual(block(p, config, reorder(x, [4, 2, 0, 1, 3])), reorder(block(p, config, x), [4, 2, 0, 1, 3])));

  // Measured: 1.6e-6, of values up to 7.
  it("agrees with its definition in double precision", async () => {
    const y = block(p, config, x);
    const [wanted, got] = [interpret({ y })["y"]!, floats((await run({ y }))["y"])];
    wanted.data.forEach((value, i) => expect(Math.abs(got[i]! - value)).toBeLessThan(1e-5));
  });
});

describe("l2Normalize", () => {
  const x = random([3, 6], 1);

  it("gives vectors of length 1 in the direction they had", async () => {
    const y = l2Normalize(x);
    await expectEqual(y.square().sum(-1), ones(3));
    await expectEqual(y.mul(x.square().sum(-1, { keepDims: true }).sqrt()), x);
  });

  it("does not see a factor", () => expectEqual(l2Normalize(x.mul(1000)), l2Normalize(x)));
});
