import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { floats, run } from "../../../test/engine/gradient-error.ts";
import { fromHalf } from "../../../test/engine/interpret.ts";
import { readOnnx } from "../../../test/engine/read-onnx.ts";
import { gradients } from "../autodiff/gradients.ts";
import { float32, int32 } from "../../core/tensor-data.ts";
import { apply, constant, input, stored, type Tensor, where } from "../graph/tensor.ts";
import { OrtSession } from "../runtime/ort-session.ts";
import { buildModel } from "./build.ts";

const x = input("x", [2, 3]);
const at = { x: float32([1, 2, 3, 4, 5, 6], [2, 3]) };
const read = (outputs: Record<string, Tensor>) => readOnnx(buildModel(outputs).bytes);

describe("the model of a program", () => {
  it("has no node, input or constant that the outputs do not need", () => {
    const unused = input("unused", [3]);
    const hidden = x.mul(constant(float32([1, 2, 3], [3])));
    const derived = gradients(hidden.tanh().mul(unused).sum(), [x, unused]);
    expect(derived).toHaveLength(2);
    const { nodes, inputs, initializers } = read({ y: hidden });
    expect(nodes.map(({ opType }) => opType)).toEqual(["Mul"]);
    expect(inputs).toEqual(["x"]);
    expect(initializers).toHaveLength(1);
  });

  it("omits unused tensors, such as squares that are only summed", () => {
    const types = (outputs: Record<string, Tensor>) => read(outputs).nodes.map(({ opType }) => opType);
    expect(types({ y: x.square().sum() })).toEqual(["ReduceSumSquare"]);
    expect(types({ y: x.square().sum(), squares: x.square() }).sort()).toEqual(["Mul", "ReduceSumSquare"]);
  });

  it("merges equal expressions and equal constants", () => {
    const half = () => x.mul(constant(float32([0.5, 1.5, 2.5], [3]))).exp();
    const { nodes, initializers } = read({ y: half().add(half().neg()), z: half() });
    expect(nodes.map(({ opType }) => opType).sort()).toEqual(["Add", "Exp", "Mul", "Neg"]);
    expect(initializers).toHaveLength(1);
  });

  it("supports an output that is an input, a constant, or listed twice", async () => {
    const y = x.neg();
    const results = await run({ y, again: y, itself: x, three: constant(float32([3], [1])) }, at);
    expect(floats(results["y"])).toEqual(Float32Array.of(-1, -2, -3, -4, -5, -6));
    expect(results["again"]).toEqual(results["y"]);
    expect(results["itself"]).toEqual(at.x);
    expect(floats(results["three"])).toEqual(Float32Array.of(3));
  });

  it("accepts names with a meaning in JavaScript", async () => {
    const odd = input("constructor", [2]);
    const outputs = Object.fromEntries([
      ["toString", odd.neg()],
      ["valueOf", odd],
    ]);
    const results = await run(outputs, { constructor: float32([1, 2], [2]) });
    expect(Object.keys(results).sort()).toEqual(["toString", "valueOf"]);
    expect(floats(new Map(Object.entries(results)).get("toString"))).toEqual(Float32Array.of(-1, -2));
  });

  it("refuses no outputs, two inputs of one name, or an output and an input of one name", () => {
    expect(() => buildModel({})).toThrow("a program needs at least one output");
    expect(() => buildModel({ y: x.sum().add(input("x", [1])) })).toThrow('two inputs of the program are named "x"');
    expect(() => buildModel({ x: x.neg() })).toThrow('an output and an input are both named "x"; rename the output');
  });

  it("scatters integers", async () => {
    const updates = constant(int32([1, 2, 4], [3]));
    const rows = constant(int32([1, 1, 0], [3]));
    const results = await run({ y: apply("scatterAdd", [updates, rows], { rows: 2 }) });
    expect(results["y"]).toEqual(int32([4, 3], [2]));
  });
});

describe("weights in files", () => {
  const folder = mkdtempSync(join(tmpdir(), "clip-ts-"));
  const write = (name: string, before: number, ...arrays: ArrayBufferView[]) => {
    const parts = arrays.map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
    );
    writeFileSync(join(folder, name), Buffer.concat([Buffer.alloc(before, 0xff), ...parts]));
  };
  const place = (name: string, byteOffset: number, byteLength: number) => ({
    file: join(folder, name),
    byteOffset,
    byteLength,
  });

  it("are read in place, at odd offsets, from several files; the model contains none of them", async () => {
    const [a, b] = [Float32Array.from({ length: 600 }, (_, i) => i / 7), Float32Array.of(1.5, -2.5, 1e-30)];
    write("a.bin", 13, a, b);
    write("b.bin", 1, b);
    const outputs = {
      sum: stored("a", [200, 3], "float32", place("a.bin", 13, 2400)).add(
        stored("b", [3], "float32", place("a.bin", 2413, 12)),
      ),
      other: stored("__proto__", [3], "float32", place("b.bin", 1, 12)).neg(),
    };
    expect(buildModel(outputs).bytes.length).toBeLessThan(1000);
    const results = await run(outputs);
    expect(floats(results["sum"])).toEqual(a.map((value, i) => value + b[i % 3]!));
    expect(floats(results["other"])).toEqual(b.map((value) => -value));
  });

  it("may be half precision, which is cast: all 65,536 values", async () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    write("halves.bin", 3, halves);
    const weights = stored("halves", [65_536], "float16", place("halves.bin", 3, 131_072)).cast("float32");
    const { y } = await run({ y: weights });
    expect(floats(y)).toEqual(Float32Array.from(halves, fromHalf));
  });

  it("must be in one folder", () => {
    const elsewhere = { ...place("a.bin", 13, 12), file: join(folder, "deeper", "a.bin") };
    const y = stored("near", [3], "float32", place("a.bin", 13, 12)).add(stored("far", [3], "float32", elsewhere));
    expect(() => buildModel({ y })).toThrow(/weights are in two folders, .*; move the files into one/);
  });

  it("have one name each", () => {
    const y = stored("w", [3], "float32", place("a.bin", 13, 12)).add(
      stored("w", [3], "float32", place("a.bin", 25, 12)),
    );
    expect(() => buildModel({ y })).toThrow('two inputs of the program are named "w"');
  });

  it("that are missing or too short throw instead of ending the process", async () => {
    for (const { file, byteOffset } of [
      { file: "missing.bin", byteOffset: 0 },
      { file: "b.bin", byteOffset: 10 },
    ]) {
      const y = stored("w", [3], "float32", place(file, byteOffset, 12)).neg();
      await expect(OrtSession.create(buildModel({ y }))).rejects.toMatchObject({ code: "CLIP_RUNTIME" });
    }
  });
});

describe("elements of every dtype", () => {
  it("pass through: float32, float16, int32, int64, bool", async () => {
    const feeds = {
      float: float32([1.5, -2], [2]),
      half: { dtype: "float16", shape: [2], data: Uint16Array.of(0x3e00, 0xc000) } as const,
      int: int32([7, -8], [2]),
      long: { dtype: "int64", shape: [2], data: BigInt64Array.of(2n ** 53n + 1n, -9n) } as const,
      flag: { dtype: "bool", shape: [2], data: Uint8Array.of(1, 0) } as const,
    };
    const inputs = Object.entries(feeds).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)] as const);
    const outputs = Object.fromEntries(inputs.map(([name, tensor]) => [`${name}Out`, tensor]));
    const { float, half, int, long, flag } = Object.fromEntries(inputs);
    const results = await run(
      {
        ...outputs,
        widened: half!.cast("float32"),
        narrowed: float!.cast("float16"),
        added: long!.add(1),
        chosen: where(flag!, int!, 0),
      },
      feeds,
    );
    for (const [name, feed] of Object.entries(feeds)) expect(results[`${name}Out`]).toEqual(feed);
    expect(results["widened"]).toEqual(feeds.float);
    expect(results["narrowed"]).toEqual(feeds.half);
    expect(results["added"]!.data).toEqual(BigInt64Array.of(2n ** 53n + 2n, -8n));
    expect(results["chosen"]).toEqual(int32([7, 0], [2]));
  });
});
