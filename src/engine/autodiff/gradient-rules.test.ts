import { describe, expect, it } from "vitest";
import { gradientError, type Program, randomInput } from "../../../test/engine/gradient-error.ts";
import { allPrograms } from "../../../test/engine/op-programs.ts";
import type { OpName } from "../graph/ops.ts";
import { float32 } from "../../core/tensor-data.ts";
import { apply, averagePool, constant, conv2d, type Tensor } from "../graph/tensor.ts";
import { groupNorm } from "../../model/nn/norms.ts";
import { gradients } from "./gradients.ts";

/** Ops that are nonlinear in an input; the others are almost free of rounding for 10-bit numbers. */
const curved: ReadonlySet<OpName> = new Set<OpName>([
  ...(["div", "exp", "log", "sqrt", "erf", "tanh", "sigmoid", "gelu", "recompute"] as const),
  ...(["softmax", "logSoftmax", "standardize", "inverseStd", "layerNorm"] as const),
]);

/** Measured: linear ops ≤ 4.5e-7 (most 0), nonlinear ones ≤ 4.4e-6. The mistakes below are off by 0.0099 and more. */
const tolerance = { linear: 1e-6, curved: 2e-5 };

describe("a gradient agrees with central differences:", () => {
  it.each(allPrograms)("%s", async (title, program) => {
    const isCurved = curved.has(title.split(":")[0] as OpName);
    expect(await gradientError(program)).toBeLessThan(tolerance[isCurved ? "curved" : "linear"]);
  });
});

describe("central differences detect a plausible mistake:", () => {
  const matrix = randomInput([3, 4]);
  const divisor = randomInput([3, 4], { seed: 2, low: 1, high: 2 });
  const [image, kernel] = [randomInput([1, 2, 5, 5]), randomInput([2, 2, 3, 3])];
  interface Mistake extends Program {
    readonly derive: (y: Tensor, x: readonly Tensor[], dy: Tensor) => readonly Tensor[];
  }
  const mistakes: readonly Mistake[] = [
    {
      title: "a quotient without its minus",
      inputs: [matrix, divisor],
      build: (a, b) => a.div(b),
      derive: (y, [, b], dy) => [dy.div(b!), dy.mul(y).div(b!)],
    },
    {
      title: "softmax without its sum",
      inputs: [matrix],
      build: (x) => x.softmax(-1),
      derive: (y, _, dy) => [y.mul(dy)],
    },
    {
      title: "standardisation that takes its deviation for a constant",
      inputs: [matrix],
      build: (x) => x.standardize(1e-5),
      derive: (_, [x], dy) => {
        const r = apply("inverseStd", [x!], { epsilon: 1e-5 }).stopGradient();
        return gradients(x!.sub(x!.mean(-1, { keepDims: true })).mul(r), [x!], { seed: dy });
      },
    },
    {
      title: "GELU by its other formula",
      inputs: [matrix],
      build: (x) => x.gelu("sigmoid"),
      derive: (_, [x], dy) => gradients(x!.gelu("tanh"), [x!], { seed: dy }),
    },
    {
      title: "a convolution whose kernels were not turned",
      inputs: [image, kernel],
      build: (x, k) => conv2d(x, k, { padding: 1 }),
      derive: (y, [, k], dy) => [
        conv2d(dy, k!.transpose([1, 0, 2, 3]), { padding: 1 }),
        ...gradients(y, [k!], { seed: dy }),
      ],
    },
  ];

  // Measured: 1.3, 0.11, 0.41, 0.0099, 1.5; the smallest is 500 times the tolerance.
  it.each(mistakes)("$title", async ({ derive, ...program }) => {
    expect(await gradientError(program, derive)).toBeGreaterThan(5e-3);
  });
});

describe("gradients of gradients", () => {
  // y = pool(leakyRelu(groupNorm(conv(x, k)))). Shifts of ±4 keep the normalised values, at most √15 in groups of 16,
  // off the kink: one channel on each side of it.
  const network = (x: Tensor, kernel: Tensor) => {
    const affine = { weight: constant(float32([1.5, 0.75], [2])), bias: constant(float32([4, -4], [2])) };
    return averagePool(groupNorm(affine, 2, conv2d(x, kernel, { padding: 1 })).leakyRelu(0.2), 2);
  };
  const penalty = (x: Tensor, kernel: Tensor) => {
    const y = network(x, kernel);
    return gradients(y.mul(constant(randomInput(y.shape as number[], { seed: 3 }))).sum(), [x])[0]!
      .square()
      .sum();
  };
  const inputs = [randomInput([1, 2, 4, 4]), randomInput([2, 2, 3, 3], { seed: 2 })];

  // Measured: 4.2e-6; with no gradient through the inverse deviation 0.35.
  it("agree with central differences: ‖∂y/∂x‖² through convolution, normalisation, LeakyReLU and pooling", async () => {
    expect(await gradientError({ title: "penalty", inputs, build: penalty })).toBeLessThan(tolerance.curved);
  });
});
