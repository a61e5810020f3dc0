import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";
import { float32 } from "./tensor-data.ts";
import { input } from "../engine/graph/tensor.ts";
import { buildModel } from "../engine/onnx/build.ts";
import { OrtSession } from "../engine/runtime/ort-session.ts";
import { decodeBfloat16, decodeFloat16, encodeFloat16 } from "./half.ts";

const all = Uint16Array.from({ length: 2 ** 16 }, (_, code) => code);
const isNaNCode = (code: number) => (code & 0x7fff) > 0x7c00;

/** ONNX Runtime's own conversion. */
async function castWithRuntime(data: Uint16Array | Float32Array) {
  const dtype = data instanceof Float32Array ? "float32" : "float16";
  const x = input("x", [data.length], dtype);
  const session = await OrtSession.create(buildModel({ y: x.cast(dtype === "float32" ? "float16" : "float32") }));
  const feed = data instanceof Float32Array ? float32(data, [data.length]) : { dtype, shape: [data.length], data };
  const { y } = await session.run({ x: feed as ReturnType<typeof float32> });
  await session.release();
  return y!.data;
}

describe("float16", () => {
  it("decodes all 65,536 codes as ONNX Runtime does", async () => {
    expect(decodeFloat16(all)).toEqual(await castWithRuntime(all));
  });

  it("encodes every decoded value to its code, and NaN to NaN", () => {
    const back = encodeFloat16(decodeFloat16(all));
    const wrong = all.filter((code) => (isNaNCode(code) ? !isNaNCode(back[code]!) : back[code] !== code));
    expect([...wrong]).toEqual([]);
  });

  it("rounds to nearest, ties to even, between all neighbours", () => {
    const values = decodeFloat16(all);
    values[0x7c00] = 65536; // the next value, if it existed
    for (let code = 0; code < 0x7c00; code++) {
      const middle = (values[code]! + values[code + 1]!) / 2; // exact in float32
      const step = middle * 2 ** -20 + 2 ** -149;
      const [below, at, above] = encodeFloat16(Float32Array.of(middle - step, middle, middle + step));
      const even = code % 2 === 0 ? code : code + 1;
      if (below !== code || at !== even || above !== code + 1) expect.fail(`around ${middle}: ${below} ${at} ${above}`);
    }
  });

  it("rounds random numbers of all sizes as ONNX Runtime does", async () => {
    const seed = 16;
    const random = new Random(seed);
    const numbers = Float32Array.from({ length: 100_000 }, () => random.normal() * 2 ** random.uniform(-30, 18));
    expect(encodeFloat16(numbers), `seed ${seed}`).toEqual(await castWithRuntime(numbers));
  });
});

describe("bfloat16", () => {
  it("decodes to the float32 with the same upper half", () => {
    const codes = Uint16Array.of(0x3f80, 0xc049, 0x0001, 0x7f80, 0x8000);
    expect(decodeBfloat16(codes)).toEqual(Float32Array.of(1, -3.140625, 2 ** -133, Infinity, -0));
  });
});
