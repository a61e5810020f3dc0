import { mkdtemp, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { openSafetensors } from "./safetensors.ts";
import { writeSafetensors } from "./write-safetensors.ts";
import { readFloats, readIntegers } from "./stored-tensor.ts";

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clip-ts-"));
});

/** A file with this header and these bytes behind it. */
async function fileWith(header: unknown, data: Uint8Array = new Uint8Array(), claimed?: bigint): Promise<string> {
  const path = join(folder, `${files++}.safetensors`);
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  await writeFile(path, Buffer.concat([length, text, data]));
  return path;
}

const entry = (begin: number, end: number, shape: unknown = [(end - begin) / 4], dtype = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe("openSafetensors", () => {
  it("reads the file of the format's own description", async () => {
    // Two tensors behind one another, the header padded with spaces.
    const header = `{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}   `;
    const data = Buffer.alloc(16);
    data.writeFloatLE(1.5, 0);
    data.writeFloatLE(-2, 4);
    data.writeBigInt64LE(-7n, 8);
    const { tensors, metadata } = await openSafetensors(await fileWith(header, data));
    expect(metadata).toEqual(new Map([["format", "pt"]]));
    expect(await readFloats(tensors.get("a")!)).toEqual(float32([1.5, -2], [1, 2]));
    expect(await readIntegers(tensors.get("b")!)).toEqual(int32([-7], [1]));
  });

  it("takes any name for a name", async () => {
    const header = `{"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"toString":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`;
    const { tensors } = await openSafetensors(await fileWith(header, new Uint8Array(8)));
    expect([...tensors.keys()]).toEqual(["__proto__", "toString"]);
    expect(({} as Record<string, unknown>)["dtype"]).toBeUndefined();
  });

  it("gives the place in the file itself behind a link", async () => {
    const path = await fileWith({ a: entry(0, 4) }, new Uint8Array(4));
    const link = join(folder, "link.safetensors");
    await symlink(path, link);
    expect((await openSafetensors(link)).tensors.get("a")!.file).toBe(path);
  });

  it.each<[string, RegExp, unknown, number?, bigint?]>([
    ["a header longer than the file", /claims a header of 1000 bytes/, {}, 0, 1000n],
    ["a header beyond any memory", /its header would have 18446744073709552000 bytes/, {}, 0, 2n ** 64n - 1n],
    ["no JSON", /is not JSON/, "{,}"],
    ["a list", /not a JSON object/, "[]"],
    ["null", /not a JSON object/, "null"],
    ["metadata of numbers", /__metadata__/, { __metadata__: { step: 3 } }],
    ["an unknown dtype", /"a" has dtype F31, .*; save the model as float16/, { a: entry(0, 4, [1], "F31") }, 4],
    ["a negative size", /"a" is wrong \(shape/, { a: entry(0, 4, [-1]) }, 4],
    ["a fractional size", /"a" is wrong \(shape/, { a: entry(0, 4, [0.5]) }, 4],
    ["a size beyond all numbers", /"a" is wrong \(shape/, { a: entry(0, 4, [1e308, 1e308]) }, 4],
    ["a size of nothing beyond all numbers", /"a" is wrong \(shape/, { a: entry(0, 0, [0, 1e308]) }],
    ["a negative place", /"a" is wrong \(data_offsets/, { a: entry(-4, 0, [1]) }, 4],
    ["a fractional place", /"a" is wrong \(data_offsets/, { a: entry(0.5, 4.5, [1]) }, 8],
    ["a place beyond all numbers", /"a" is wrong \(data_offsets/, { a: entry(1e308, 1e308, [1]) }, 4],
    ["offsets that run backwards", /needs 4 bytes but has -4/, { a: entry(4, 0, [1]) }, 4],
    ["more elements than bytes", /needs 40 bytes but has 4/, { a: entry(0, 4, [10]) }, 4],
    ["sizes whose product overflows", /needs .* bytes/, { a: entry(0, 4, [2 ** 50, 2 ** 50]) }, 4],
    ["a place behind the end", /the rest is missing/, { a: entry(0, 400) }, 4],
    ["tensors that overlap", /"a" and "b" overlap/, { a: entry(0, 8), b: entry(4, 12) }, 12],
    ["unknown keys in an entry", /"a" is wrong/, { a: { ...entry(0, 4), stride: 1 } }, 4],
  ])("refuses %s", async (_, message, header, bytes = 0, claimed) => {
    const path = await fileWith(header, new Uint8Array(bytes), claimed);
    await expect(openSafetensors(path)).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringMatching(message) as string,
    });
  });

  it("says so if there is no such file, or only the beginning of one", async () => {
    await expect(openSafetensors(join(folder, "none"))).rejects.toMatchObject({ code: "CLIP_FILE" });
    const path = join(folder, "short");
    await writeFile(path, "abc");
    await expect(openSafetensors(path)).rejects.toThrow(/it has 3 bytes/);
  });

  it("refuses every file that was cut, at any length", async () => {
    const path = join(folder, "cut.safetensors");
    await writeSafetensors(
      path,
      new Map<string, TensorData>([
        ["a", float32([1, 2, 3], [3])],
        ["b", int32([4], [1])],
      ]),
    );
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await expect(openSafetensors(path), `${length} bytes`).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
    }
  });

  it("notices on reading that the file became shorter", async () => {
    const path = await fileWith({ a: entry(0, 400) }, new Uint8Array(400));
    const { tensors } = await openSafetensors(path);
    await truncate(path, 100);
    await expect(readFloats(tensors.get("a")!)).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
  });

  it("survives random damage: it reads, or throws an error of its own", async () => {
    const seed = 7;
    const random = new Random(seed);
    const path = join(folder, "damaged.safetensors");
    await writeSafetensors(
      path,
      new Map([
        ["weight", float32(new Float32Array(6), [2, 3])],
        ["bias", float32([1], [1])],
      ]),
    );
    const whole = await readFile(path);
    for (let trial = 0; trial < 500; trial++) {
      const bytes = Buffer.from(whole);
      for (let i = 0; i < 1 + random.integer(3); i++) bytes[random.integer(bytes.length)] = random.integer(256);
      await writeFile(path, bytes);
      try {
        for (const tensor of (await openSafetensors(path)).tensors.values()) await readFloats(tensor);
      } catch (error) {
        expect(error, `seed ${seed}, trial ${trial}`).toMatchObject({ name: "ClipError" });
      }
    }
  });
});

describe("readFloats and readIntegers", () => {
  it("decode every dtype they know and name the one they do not", async () => {
    const data = Buffer.alloc(24);
    data.writeUInt16LE(0x3e00, 0); // 1.5 as float16
    data.writeUInt16LE(0x3fc0, 2); // 1.5 as bfloat16
    data.writeUInt8(200, 4);
    data.writeDoubleLE(0.1, 8);
    data.writeBigInt64LE(2n ** 40n, 16);
    const { tensors } = await openSafetensors(
      await fileWith(
        {
          half: entry(0, 2, [], "F16"),
          brain: entry(2, 4, [], "BF16"),
          byte: entry(4, 5, [], "U8"),
          double: entry(8, 16, [], "F64"),
          large: entry(16, 24, [], "I64"),
        },
        data,
      ),
    );
    const floats = (name: string) => readFloats(tensors.get(name)!).then((tensor) => tensor.data[0]);
    expect([await floats("half"), await floats("brain")]).toEqual([1.5, 1.5]);
    await expect(floats("double")).rejects.toThrow(/dtype F64; supported are/);
    expect((await readIntegers(tensors.get("byte")!)).data[0]).toBe(200);
    await expect(floats("large")).rejects.toThrow(/dtype I64; supported are F32, F16, BF16/);
    await expect(readIntegers(tensors.get("half")!)).rejects.toThrow(/dtype F16; supported are I64, I32, U8/);
    await expect(readIntegers(tensors.get("large")!)).rejects.toThrow(/1099511627776 does not fit/);
  });
});

describe("writeSafetensors", () => {
  const tensors = new Map<string, TensorData>([
    ["odd", { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) }],
    ["weight", float32([1, -0.1, 65504], [3, 1])],
    ["scale", float32([4.6], [])],
    ["__proto__", { dtype: "int64", shape: [], data: BigInt64Array.of(5n) }],
  ]);

  it("gives back what it was given, bit for bit, each tensor at a multiple of its element's size", async () => {
    const path = join(folder, "written.safetensors");
    await writeSafetensors(path, tensors, { metadata: { step: "3" } });
    const file = await openSafetensors(path);
    expect(file.metadata).toEqual(new Map([["step", "3"]]));
    expect(await readFloats(file.tensors.get("weight")!)).toEqual(tensors.get("weight"));
    expect((await readIntegers(file.tensors.get("__proto__")!)).data).toEqual(Int32Array.of(5));
    for (const { byteOffset, byteLength, shape } of file.tensors.values())
      expect(byteOffset % (byteLength / (shape[0] ?? 1))).toBe(0);
  });

  it("writes the same bytes in whatever order the tensors come", async () => {
    const [a, b] = [join(folder, "a.safetensors"), join(folder, "b.safetensors")];
    await writeSafetensors(a, tensors, { metadata: { x: "1", a: "2" } });
    await writeSafetensors(b, new Map([...tensors].reverse()), { metadata: { a: "2", x: "1" } });
    expect(await readFile(a)).toEqual(await readFile(b));
  });

  it("halves matrices on request, and leaves vectors and whole numbers alone", async () => {
    const path = join(folder, "half.safetensors");
    await writeSafetensors(path, tensors, { dtype: "F16" });
    const file = await openSafetensors(path);
    expect(file.tensors.get("weight")).toMatchObject({ dtype: "F16", byteLength: 6 });
    const [one, tenth, largest] = (await readFloats(file.tensors.get("weight")!)).data;
    expect([one, largest]).toEqual([1, 65504]);
    expect(file.tensors.get("scale")!.dtype).toBe("F32");
    expect(Math.abs(tenth! + 0.1)).toBeLessThan(0.1 * 2 ** -11);
    expect(file.tensors.get("__proto__")!.dtype).toBe("I64");
  });
});
