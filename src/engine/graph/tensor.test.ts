import { describe, expect, it } from "vitest";
import { floats, randomInput, run } from "../../../test/engine/gradient-error.ts";
import { interpret } from "../../../test/engine/interpret.ts";
import { gradients } from "../autodiff/gradients.ts";
import { ShapeError } from "../../core/errors.ts";
import { float32, int32 } from "../../core/tensor-data.ts";
import { buildModel } from "../onnx/build.ts";
import { OrtSession } from "../runtime/ort-session.ts";
import { apply, averagePool, concat, constant, conv2d, input, scalar, stored, where } from "./tensor.ts";

const x = input("x", [2, 3]);
const batch = input("images", ["batch", 3, 4, 4]);

describe("a shape error", () => {
  const place = { file: "weights", byteOffset: 0, byteLength: 20 };
  const quantized = (dtype: "uint8" | "int32", codes: number[], scales: number[], columns: number) =>
    apply("dequantize", [input("codes", codes, dtype), input("scales", scales)], { columns, bits: 4 });
  const mistakes: readonly (readonly [string, () => unknown, string | RegExp])[] = [
    [
      "operands that do not broadcast",
      () => x.add(input("y", [2, 4]).named("vision.positions")),
      "add: shapes do not broadcast\n  left: float32 [2, 3] x\n  right: float32 [2, 4] vision.positions\n" +
        "  hint: sizes must be equal or 1, counted from the last axis",
    ],
    ["a size that is a symbol on one side only", () => batch.add(input("y", [8, 3, 4, 4])), /left: float32 \[batch, 3/],
    [
      "dtypes that differ",
      () => x.mul(input("n", [3], "int32")),
      /dtypes differ\n {2}one: float32 [^]*cast one of them/,
    ],
    ["arithmetic on halves", () => input("h", [2], "float16").add(input("g", [2], "float16")), /needs float32/],
    ["a number that whole numbers lack", () => input("n", [2], "int64").mul(0.5), /int64 cannot hold 0\.5/],
    ["a number as a half", () => input("h", [2], "float16").equal(1), /float16 is for storage only/],
    ["functions of whole numbers", () => input("n", [2], "int32").exp(), /exp: needs float32/],
    ["a condition that is none", () => where(x, x, x), /the condition must be bool/],
    [
      "inner sizes",
      () => x.matmul(x),
      "matmul: inner sizes differ, 3 and 2\n  left: float32 [2, 3] x\n  right: float32 [2, 3] x",
    ],
    ["leading sizes", () => input("a", [2, 1, 3]).matmul(input("b", [3, 3, 1])), /leading sizes do not broadcast/],
    ["a vector in a matrix product", () => x.matmul(input("v", [3])), /both sides need two axes/],
    ["an axis that is not there", () => x.softmax(2), "softmax: there is no axis 2\n  input: float32 [2, 3] x"],
    ["an axis of a number", () => scalar(1).standardize(1e-5), /needs at least one axis/],
    [
      "elements that do not fit",
      () => x.reshape([4, 2]),
      "reshape: 6 elements cannot have shape [4, 2], which holds 8\n  x: float32 [2, 3] x",
    ],
    ["no size in place of −1", () => x.reshape([4, -1]), /no size fits in place of −1 in \[4, -1\]/],
    ["two sizes to be worked out", () => x.reshape([-1, -1]), /no size fits/],
    ["expanding what is not 1", () => x.expand([2, 6]), /cannot become \[2, 6\]: only axes of size 1 repeat/],
    ["an order that is none", () => x.transpose([0, 0]), /\[0, 0\] is not a permutation of 2 axes/],
    ["a slice beyond the end", () => x.slice(1, 2, 2), /2 elements from 2 in steps of 1 exceed axis 1 of size 3/],
    ["a slice in steps of nothing", () => x.slice(1, 0, 2, 0), /the step must be a whole number of at least 1, not 0/],
    ["a symbolic slice that starts later", () => x.slice(1, 1, "some"), /a symbolic size, "some", requires start 0/],
    ["a slice of a symbolic axis", () => batch.slice(0, 0, 1), /axis 0 must have a fixed size, not "batch"/],
    ["a mean over a symbolic axis", () => batch.mean(0), /an axis has no fixed size/],
    [
      "parts that differ beside the axis",
      () => concat([x, x.T], 0),
      /sizes differ outside axis 0\n {2}0: float32 \[2, 3\] x/,
    ],
    ["nothing to concatenate", () => concat([], 0), /there is no axis 0/],
    ["negative padding", () => x.pad([0, -1], [0, 0]), /the count must be a whole number of at least 0, not -1/],
    ["padding for other axes", () => x.pad([1], [1]), /needs a count for each side of each axis/],
    [
      "channels that the kernels lack",
      () => conv2d(batch, input("k", [8, 4, 3, 3])),
      /3 input channels, but the kernel has 4/,
    ],
    ["kernels larger than the image", () => conv2d(batch, input("k", [8, 3, 5, 5])), /larger than the padded image/],
    [
      "padding as wide as the kernel",
      () => conv2d(batch, input("k", [8, 3, 1, 1]), { padding: 1 }),
      /less than the kernel/,
    ],
    ["half a stride", () => conv2d(batch, input("k", [8, 3, 1, 1]), { stride: 0.5 }), /stride must be a whole number/],
    ["a window larger than the image", () => averagePool(batch, 5), /a window of 5 is larger than the image/],
    ["indices that are no whole numbers", () => x.gather(x), /indices must be int32 or int64/],
    [
      "updates that do not match their places",
      () => apply("scatterAdd", [x, input("n", [3], "int32")], { rows: 4 }),
      /the shape of updates must begin with that of indices/,
    ],
    [
      "parameters of another size",
      () => apply("layerNorm", [x, x.sum(1), x.sum(0)], { epsilon: 1e-5 }),
      /size of the last axis/,
    ],
    [
      "codes that are no bytes",
      () => quantized("int32", [4, 2, 16], [4, 2], 64),
      /codes must be uint8 \[N, blocks, bytes\]/,
    ],
    ["blocks without a scale", () => quantized("uint8", [4, 2, 16], [4, 1], 64), /each block of codes needs a scale/],
    ["blocks of 24", () => quantized("uint8", [4, 2, 12], [4, 2], 48), /the block size must be 16, 32, 64, …, not 24/],
    [
      "columns for more blocks",
      () => quantized("uint8", [4, 2, 16], [4, 2], 65),
      /65 columns do not match these blocks/,
    ],
    ["sums of bytes", () => input("b", [2], "uint8").add(input("c", [2], "uint8")), /add: needs float32/],
    ["elements of a constant", () => constant(float32([1, 2, 3], [2])), "constant: 3 elements cannot have shape [2]"],
    [
      "a size that is none",
      () => input("y", [2, 0.5]),
      /input "y": a size must be a whole number of at least 1 or a name/,
    ],
    ["a symbol that is a product", () => input("y", ["2*batch"]), /not "2\*batch"/],
    [
      "a place of another size",
      () => stored("w", [2, 3], "float32", place),
      /needs 24 bytes, but its place in weights has 20/,
    ],
  ];

  it.each(mistakes)("throws with its operands, on its line: %s", (_, make, message) => {
    let met: unknown;
    try {
      make();
    } catch (error) {
      met = error;
    }
    expect(met).toBeInstanceOf(ShapeError);
    const { message: text, stack } = met as ShapeError;
    if (typeof message === "string") expect(text).toBe(message);
    else expect(text).toMatch(message);
    const frames = stack!.split("\n").filter((line) => line.trimStart().startsWith("at "));
    const outside = frames.find((line) => !/src\/(core|engine\/graph)\/[a-z-]+\.ts:|<anonymous>/.test(line));
    expect(outside).toContain("tensor.test.ts");
  });
});

describe("axes", () => {
  it("count from the back when negative, in every method that takes one", () => {
    const y = input("y", [2, 3, 4]);
    expect(y.sum(-1).shape).toEqual([2, 3]);
    expect(y.sum([-1, 0, 2]).shape).toEqual([3]);
    expect(y.mean(-2, { keepDims: true }).shape).toEqual([2, 1, 4]);
    expect(y.slice(-1, 1, 2).shape).toEqual([2, 3, 2]);
    expect(y.select(-3, 1).shape).toEqual([3, 4]);
    expect(y.dilate(-2, 3).shape).toEqual([2, 7, 4]);
    expect(concat([y, y], -2).shape).toEqual([2, 6, 4]);
    expect(y.T.shape).toEqual([2, 4, 3]);
  });
});

describe("a symbolic size", () => {
  const x = input("x", ["batch", "length", 4]);
  const ids = input("ids", ["batch"], "int32");
  const weight = randomInput([4, 6], { seed: 9 });
  const outputs = {
    joined: x.reshape([-1, 4]).matmul(constant(weight)).reshape(["batch", "length", 2, 3]).transpose([0, 2, 1, 3]),
    flat: x.reshape([-1]),
    rows: x.sum(1).reshape(["batch", 2, 2]).softmax(-1),
    repeated: constant(float32([1, 2], [2, 1])).expand(["length", 2, "batch"]),
    chosen: constant(randomInput([5, 2]))
      .gather(ids)
      .sum(-1),
    weighted: x.mul(ids.cast("float32").reshape(["batch", 1, 1])),
  };
  const feedsOf = (batch: number, length: number) => ({
    x: randomInput([batch, length, 4], { seed: batch }),
    ids: int32(
      Int32Array.from({ length: batch }, (_, i) => (i * 3) % 5),
      [batch],
    ),
  });

  it("takes its value from the feeds: one session, several sizes", async () => {
    expect(outputs.flat.shape).toEqual(["4*batch*length"]);
    expect(outputs.joined.shape).toEqual(["batch", 2, "length", 3]);
    const session = await OrtSession.create(buildModel(outputs), { threads: 1 });
    for (const [batch, length] of [
      [1, 1],
      [3, 2],
      [7, 5],
    ] as const) {
      const results = await session.run(feedsOf(batch, length));
      for (const [name, wanted] of Object.entries(interpret(outputs, feedsOf(batch, length)))) {
        expect(results[name]!.shape).toEqual(wanted.shape);
        wanted.data.forEach((value, i) => expect(floats(results[name])[i]).toBeCloseTo(value, 5));
      }
    }
    await session.release();
  });

  it("stays symbolic in gradients, including products, convolutions and tables", async () => {
    const images = input("images", ["batch", 2, 4, 4]);
    const [kernel, table] = [input("kernel", [3, 2, 2, 2]), input("table", [5, 3])];
    const features = conv2d(images, kernel, { stride: 2 }).sum([2, 3]);
    const pooled = averagePool(conv2d(images, kernel), 3).reshape(["batch", 3]);
    const loss = features.mul(table.gather(ids)).add(pooled).square().sum();
    const [dKernel, dTable, dImages] = gradients(loss, [kernel, table, images]);
    const derived = { dKernel: dKernel!, dTable: dTable!, dImages: dImages! };
    expect(derived.dImages.shape).toEqual(["batch", 2, 4, 4]);
    for (const batch of [1, 3]) {
      const feeds = {
        images: randomInput([batch, 2, 4, 4], { seed: 3 }),
        kernel: randomInput([3, 2, 2, 2], { seed: 4 }),
        table: randomInput([5, 3], { seed: 5 }),
        ids: feedsOf(batch, 1).ids,
      };
      const results = await run(derived, feeds);
      for (const [name, wanted] of Object.entries(interpret(derived, feeds))) {
        wanted.data.forEach((value, i) => expect(floats(results[name])[i]).toBeCloseTo(value, 4));
      }
    }
  });

  it("must belong to an input of the program", () => {
    expect(() => buildModel({ y: scalar(1).expand(["batch"]) })).toThrow(
      'buildModel: no input of the program has the size "batch"',
    );
  });
});
