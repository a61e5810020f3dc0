import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { interpret } from "../../../test/engine/interpret.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { Random } from "../../core/random.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { apply, constant, Tensor } from "../../engine/graph/tensor.ts";
import { type ClipConfig } from "../towers/config.ts";
import { leaves } from "../nn/parameters.ts";
import { loadParameters } from "./load.ts";
import { clipParameters } from "../towers/parameters.ts";
import { towerMatrices } from "../towers/matrices.ts";
import { type QuantizedDtype, quantizedParameters, quantizeMatrix } from "./quantize.ts";

const seed = Math.floor(Math.random() * 2 ** 31);
const dtypes = ["q8", "q4"] as const;
const largestCode = { q8: 127, q4: 7 };

/** The numbers of a quantised matrix, by the definition of the op that reads it. */
function widen(matrix: TensorData<"float32">, dtype: QuantizedDtype): readonly number[] {
  const { codes, scales, columns, bits } = quantizeMatrix(matrix, dtype);
  return interpret({ w: apply("dequantize", [constant(codes), constant(scales)], { columns, bits }) })["w"]!.data;
}

describe.each(dtypes)("a matrix in %s", (dtype) => {
  it(`is nowhere further off than half its block's scale (seed ${seed})`, () => {
    const random = new Random(seed);
    const [rows, columns] = [7, 75]; // two blocks, and one of 11
    // Rows of very different sizes.
    const data = Float32Array.from(
      { length: rows * columns },
      (_, i) => random.normal() * 10 ** (4 * Math.floor(i / columns) - 12),
    );
    const matrix = float32(data, [rows, columns]);
    const { scales } = quantizeMatrix(matrix, dtype);
    widen(matrix, dtype).forEach((value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const scale = scales.data[row * 3 + Math.floor(column / 32)]!;
      expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual((scale / 2) * (1 + 1e-6));
    });
  });

  it("keeps what are whole multiples of a scale, the largest number of each block and its sign", () => {
    const most = largestCode[dtype];
    const data = Float32Array.from({ length: 2 * 64 }, (_, i) => ((i % (2 * most + 1)) - most) / 8);
    for (let block = 0; block < data.length; block += 32) data[block] = -most / 8;
    expect(widen(float32(data, [2, 64]), dtype)).toEqual([...data]);
  });

  it("keeps zeros, and takes numbers too small for a scale for zeros", () => {
    const data = new Float32Array(96);
    data.fill(1e-40, 32, 64);
    data[64] = largestCode[dtype];
    expect(widen(float32(data, [1, 96]), dtype)).toEqual([...data].map((value) => (value < 1e-39 ? 0 : value)));
  });

  it.each([NaN, Infinity, -Infinity])("is refused with %d in it", (value) => {
    const matrix = float32([1, value, 2], [1, 3]);
    expect(() => quantizeMatrix(matrix, dtype)).toThrow("a weight is not finite, so the model cannot be quantized");
  });
});

describe("a model in few bits", async () => {
  const root = await temporaryFolder();
  const read = async (name: string, config: ClipConfig, tower: "vision" | "text") => {
    const folder = await saveTinyModel(join(root, name), { config });
    const parameters = await loadParameters(join(folder, "model.safetensors"), clipParameters(config));
    const record = await quantizedParameters(clipParameters(config), parameters, towerMatrices(config, tower), "q8");
    const tensors = [...leaves(record, (node): node is Tensor => node instanceof Tensor)];
    return new Map(tensors.map(([path, tensor]) => [path, tensor.op === "transpose" ? tensor.inputs[0]! : tensor]));
  };
  const quantizedIn = (tensors: ReadonlyMap<string, Tensor>) =>
    [...tensors].filter(([, { op }]) => op === "dequantize").map(([path]) => path);

  it("has the matrices of one tower's layers in them, and all else as it lies in the file", async () => {
    const matrices = (tower: string) => [
      ...["attn.qkv", "attn.out", "mlp.fc", "mlp.proj"].map((layer) => `${tower}.blocks.0.${layer}.weight`),
      `${tower}.projection`,
    ];
    expect(quantizedIn(await read("vit", tinyConfig, "vision"))).toEqual(matrices("vision"));
    expect(quantizedIn(await read("vit", tinyConfig, "text"))).toEqual(matrices("text"));
  });

  it("keeps the matrix that SigLIP's pool reads in parts", async () => {
    const config: ClipConfig = {
      ...tinyConfig,
      embedDim: 32,
      vision: { ...tinyConfig.vision, pool: "probe" } as ClipConfig["vision"],
    };
    const paths = quantizedIn(await read("siglip", config, "vision"));
    expect(paths.filter((path) => path.startsWith("vision.projection"))).toEqual([
      "vision.projection.attn.out.weight",
      "vision.projection.mlp.fc.weight",
      "vision.projection.mlp.proj.weight",
    ]);
  });

  it("names the weight that is no number", async () => {
    const spoilt = new Map([["text.blocks.0.attn.qkv.weight", float32(new Float32Array(96 * 32).fill(NaN), [96, 32])]]);
    await expect(
      quantizedParameters(clipParameters(tinyConfig), spoilt, towerMatrices(tinyConfig, "text"), "q4"),
    ).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: "text.blocks.0.attn.qkv.weight: a weight is not finite, so the model cannot be quantized",
    });
  });
});
