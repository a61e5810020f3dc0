import { describe, expect, it } from "vitest";
import { floats, instantiate, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { interpret } from "../../../test/engine/interpret.ts";
import { allPrograms } from "../../../test/engine/op-programs.ts";
import { readOnnx } from "../../../test/engine/read-onnx.ts";
import { gradients } from "../autodiff/gradients.ts";
import { float32 } from "../../core/tensor-data.ts";
import { apply, constant, conv2d, input, type Tensor } from "../graph/tensor.ts";
import { layerNorm, linear, mlp } from "../../model/nn/layers.ts";
import { buildModel } from "./build.ts";

/** Types of a program's nodes, in order of creation. */
function nodeTypes(outputs: Record<string, Tensor>): string {
  return readOnnx(buildModel(outputs).bytes)
    .nodes.map(({ opType }) => opType)
    .toReversed()
    .join(" ");
}

function withGradients(y: Tensor, wrt: readonly Tensor[]): string {
  const derived = gradients(y, wrt, { seed: input("dy", y.shape) });
  return nodeTypes(Object.fromEntries([y, ...derived].map((tensor, i) => [`y${i}`, tensor])));
}

describe("what ONNX Runtime computes agrees with the definition in double precision:", () => {
  // Measured: ≤ 9.6e-8 of the largest element. GELU by its tanh formula instead would be 1.6e-4 off.
  it.each(allPrograms)("%s", async (_, program) => {
    const { feeds, y } = instantiate(program);
    const wanted = interpret({ y }, feeds)["y"]!;
    const { y: got } = await run({ y }, feeds);
    expect(got!.dtype).toBe(y.dtype);
    expect(got!.shape).toEqual(wanted.shape);
    const scale = Math.max(1, ...wanted.data.map(Math.abs));
    wanted.data.forEach((value, i) => expect(Math.abs(floats(got)[i]! - value) / scale).toBeLessThan(1e-6));
  });

  it("the largest and smallest numbers of a row: softmax and logSoftmax at ±100", async () => {
    const x = constant(float32([100, -100, 0, 100, -100, -100], [2, 3]));
    const outputs = { softmax: x.softmax(-1), logSoftmax: x.logSoftmax(-1) };
    const [wanted, got] = [interpret(outputs), await run(outputs)];
    for (const name of ["softmax", "logSoftmax"]) {
      wanted[name]!.data.forEach((value, i) => expect(floats(got[name])[i]).toBeCloseTo(value, 5));
    }
  });

  it("gelu of −0 to ±10, where erf is flat", async () => {
    const x = constant(float32([-10, -5, -0, 5, 10], [5]));
    const results = await run({ none: x.gelu("none"), tanh: x.gelu("tanh"), sigmoid: x.gelu("sigmoid") });
    for (const name of ["none", "tanh", "sigmoid"]) {
      [0, 0, 0, 5, 10].forEach((value, i) => expect(Math.abs(floats(results[name])[i]! - value)).toBeLessThan(2e-3));
    }
  });
});

describe("a product with a quantized matrix", () => {
  const cases = [4, 8].flatMap((bits) =>
    [1, 2, 19].flatMap((rows) => [32, 75].map((columns) => ({ bits, rows, columns }))),
  );
  const outputSize = 21;
  const matrixOf = (bits: number, columns: number): Tensor => {
    const [blocks, bytes] = [Math.ceil(columns / 32), 4 * bits];
    const codes = Uint8Array.from({ length: outputSize * blocks * bytes }, (_, i) => (i * 73 + 21) % 256);
    const scales = randomInput([outputSize, blocks], { seed: 3 });
    return apply(
      "dequantize",
      [constant({ dtype: "uint8", shape: [outputSize, blocks, bytes], data: codes }), constant(scales)],
      { columns, bits: bits as 4 | 8 },
    );
  };
  const product = (x: Tensor, matrix: Tensor) => ({ y: x.matmul(matrix.T) });

  it("is one node that reads the codes", () => {
    expect(nodeTypes(product(input("x", ["n", 75]), matrixOf(4, 75)))).toBe("MatMulNBits");
  });

  // Measured: 1.3e-7. A wrong zero point would be 0.15 off, swapped halves of bytes 1.1, the next block's scale 1.3.
  it.each(cases)(
    "is exact where 8 bits hold the rows: $bits bits, $rows × $columns",
    async ({ bits, rows, columns }) => {
      const data = Float32Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 255) - 127);
      // The largest number of each block is 127, so the step is 1.
      for (let i = 0; i < data.length; i++) if ((i % columns) % 32 === 5) data[i] = i % 2 ? 127 : -127;
      const outputs = product(constant(float32(data, [rows, columns])), matrixOf(bits, columns));
      const wanted = interpret(outputs)["y"]!;
      const scale = Math.max(...wanted.data.map(Math.abs));
      const got = floats((await run(outputs))["y"]);
      wanted.data.forEach((value, i) => expect(Math.abs(got[i]! - value) / scale).toBeLessThan(1e-6));
    },
  );

  it.each(cases)("otherwise differs by at most half a step of each: $bits bits, $rows × $columns", async (shape) => {
    const { bits, rows, columns } = shape;
    const x = randomInput([rows, columns], { seed: 5 });
    const matrix = matrixOf(bits, columns);
    const outputs = product(constant(x), matrix);
    const [wanted, weights] = [interpret(outputs)["y"]!.data, interpret({ matrix })["matrix"]!.data];
    const got = floats((await run(outputs))["y"]);
    wanted.forEach((value, i) => {
      const [row, output] = [Math.floor(i / outputSize), i % outputSize];
      let bound = 0;
      for (let start = 0; start < columns; start += 32) {
        const end = Math.min(columns, start + 32);
        const largest = Math.max(...x.data.subarray(row * columns + start, row * columns + end).map(Math.abs));
        const sum = weights
          .slice(output * columns + start, output * columns + end)
          .reduce((a, b) => a + Math.abs(b), 0);
        bound += (largest / 254) * sum;
      }
      expect(Math.abs(got[i]! - value)).toBeLessThan(bound * 1.001);
    });
  });
});

describe("the ONNX nodes of", () => {
  const x = input("x", [2, 5, 8]);
  const linearOf = (name: string, out: number, inside: number) => ({
    weight: input(`${name}.weight`, [out, inside]),
    bias: input(`${name}.bias`, [out]),
  });
  const leaves = (layer: { weight: Tensor; bias: Tensor }) => [layer.weight, layer.bias];

  it("a linear layer: the weight is read without a transposed copy, forward and backward", () => {
    const layer = linearOf("fc", 4, 8);
    expect(withGradients(linear(layer, x), [x, ...leaves(layer)])).toMatchInlineSnapshot(
      `"Reshape Gemm Add Reshape Reshape Expand Gemm Reshape Gemm Gemm Reshape"`,
    );
  });

  it("an MLP with QuickGELU", () => {
    const layer = { fc: linearOf("fc", 32, 8), proj: linearOf("proj", 8, 32) };
    expect(
      withGradients(mlp(layer, "quickGelu", x), [x, ...leaves(layer.fc), ...leaves(layer.proj)]),
    ).toMatchInlineSnapshot(
      `"Reshape Gemm Add Reshape QuickGelu Reshape Gemm Add Reshape Reshape Expand Gemm Reshape Gemm Gemm Reshape Mul Sigmoid Sub Mul Add Mul Mul Reshape Gemm Reshape Gemm Gemm Reshape"`,
    );
  });

  it("a layer norm: the backward pass standardizes again, with one node for values and deviations", () => {
    const layer = { weight: input("weight", [8]), bias: input("bias", [8]) };
    expect(withGradients(layerNorm(layer, x), [x, ...leaves(layer)])).toMatchInlineSnapshot(
      `"LayerNormalization LayerNormalization Mul ReduceSum Mul Mul ReduceSum Mul Mul Sub Sub Mul Mul Expand Reshape Gemm Reshape Reshape Gemm Reshape"`,
    );
  });

  it("softmax", () =>
    expect(withGradients(x.softmax(-1), [x])).toMatchInlineSnapshot(`"Softmax Mul ReduceSum Sub Mul"`));

  it("a 3×3 convolution: the input's gradient is a convolution, the kernel's consists of matrix products", () => {
    const [image, kernel] = [input("image", [2, 3, 8, 8]), input("kernel", [4, 3, 3, 3])];
    expect(withGradients(conv2d(image, kernel, { padding: 1 }), [image, kernel])).toMatchInlineSnapshot(
      `"Conv Reshape Transpose Reshape Slice Conv Pad Transpose Reshape Slice Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Slice Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Slice Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Slice Transpose Reshape Gemm Reshape Concat Reshape"`,
    );
  });

  it("patches: the kernel's gradient is one matrix product", () => {
    const [image, kernel] = [input("image", [2, 3, 8, 8]), input("kernel", [16, 3, 4, 4])];
    expect(withGradients(conv2d(image, kernel, { stride: 4 }), [kernel])).toMatchInlineSnapshot(
      `"Conv Reshape Transpose Reshape Transpose Reshape Gemm Reshape"`,
    );
  });

  it("a table: its gradient adds with ScatterElements, never with ScatterND", () => {
    const table = input("table", [10, 4]);
    expect(withGradients(table.gather(input("ids", [2, 3], "int32")), [table])).toMatchInlineSnapshot(
      `"Gather Cast Reshape Expand Reshape Slice Sub Cast Expand ScatterElements"`,
    );
  });

  it("the squares of a sum: one pass over memory, and no node for the squares", () => {
    expect(nodeTypes({ y: x.square().sum() })).toMatchInlineSnapshot(`"ReduceSumSquare"`);
  });

  it("deviations alone: one node", () => {
    expect(
      nodeTypes({ y: apply("inverseStd", [constant(randomInput([2, 3]))], { epsilon: 1e-5 }) }),
    ).toMatchInlineSnapshot(`"LayerNormalization"`);
  });
});
