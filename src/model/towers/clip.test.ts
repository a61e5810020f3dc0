import { describe, expect, it } from "vitest";
import { gradients } from "../../engine/autodiff/gradients.ts";
import { Random } from "../../core/random.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { constant, input, type Tensor } from "../../engine/graph/tensor.ts";
import { buildModel } from "../../engine/onnx/build.ts";
import { OrtSession } from "../../engine/runtime/ort-session.ts";
import { clip, clipLogits, encodeImage, encodeText } from "./clip.ts";
import { imageTower } from "./image-tower.ts";
import type { ClipConfig } from "./config.ts";
import { initializeParameters, mapParameters } from "../nn/parameters.ts";
import { clipParameters } from "./parameters.ts";

const config: ClipConfig = {
  embedDim: 8,
  activation: "quickGelu",
  vision: { kind: "vit", imageSize: 8, patchSize: 4, width: 16, layers: 2, heads: 2 },
  text: { contextLength: 6, vocabSize: 12, width: 16, layers: 2, heads: 2 },
};
const groupNorm: ClipConfig = {
  ...config,
  vision: { kind: "resnet", imageSize: 16, width: 16, layers: [1, 1], heads: 4, norm: "group" },
};

const parametersOf = (of: ClipConfig) => {
  const values = initializeParameters(clipParameters(of), 1);
  // Gains of 0 would hide the bottlenecks.
  return mapParameters(clipParameters(of), (path) => {
    const { data, shape } = values.get(path)!;
    return constant(float32(path.endsWith("conv3.norm.weight") ? data.map(() => 1) : data, shape));
  });
};

async function run(outputs: Record<string, Tensor>, feeds: Record<string, TensorData>) {
  const session = await OrtSession.create(buildModel(outputs), { threads: 1, training: true });
  const results = await session.run(feeds);
  await session.release();
  return results;
}

const pixels = (of: ClipConfig, seed: number) => {
  const random = new Random(seed);
  const side = of.vision.imageSize;
  return float32(
    Float32Array.from({ length: 3 * 3 * side * side }, () => random.normal()),
    [3, 3, side, side],
  );
};
const [inputIds, endOfText] = [input("inputIds", [3, 6], "int32"), input("endOfText", [3], "int32")];
const ends = int32([2, 5, 3], [3]);
const ids = [10, 4, 11, 0, 0, 0, 10, 1, 2, 3, 4, 11, 10, 9, 8, 11, 0, 0];

describe("encodeText", () => {
  const textEmbeds = encodeText(parametersOf(config), config, { inputIds, endOfText });
  const embedsOf = async (values: number[]) =>
    (await run({ textEmbeds }, { inputIds: int32(values, [3, 6]), endOfText: ends }))["textEmbeds"]!.data;

  it("does not see what stands behind the end of the text", async () => {
    const padded = ids.map((id, i) => (i % 6 > ends.data[Math.floor(i / 6)]! ? 7 : id));
    expect(await embedsOf(padded)).toEqual(await embedsOf(ids));
  });

  it("sees every token before it", async () => {
    const plain = await embedsOf(ids);
    for (const place of [0, 1, 6, 10, 14]) {
      const changed = await embedsOf(ids.with(place, 5));
      const row = Math.floor(place / 6);
      const difference = Math.max(
        ...Array.from({ length: 8 }, (_, i) => Math.abs(Number(changed[8 * row + i]) - Number(plain[8 * row + i]))),
      );
      expect(difference, `place ${place}`).toBeGreaterThan(1e-3);
    }
  });
});

describe.each([
  ["ViT", config],
  ["ResNet with group norm", groupNorm],
])("encodeImage, %s", (_, of) => {
  it("gives each image its features, whatever else is in the batch", async () => {
    const side = of.vision.imageSize;
    const p = parametersOf(of);
    const all = pixels(of, 2);
    const batch = await run({ y: encodeImage(p, of, input("x", [3, 3, side, side])) }, { x: all });
    const one = float32(all.data.slice(2 * 3 * side * side), [1, 3, side, side]);
    const alone = await run({ y: encodeImage(p, of, input("x", [1, 3, side, side])) }, { x: one });
    const last = [...(batch["y"]!.data as Float32Array)].slice(16);
    [...(alone["y"]!.data as Float32Array)].forEach((value, i) => expect(value).toBeCloseTo(last[i]!, 5));
  });

  it("sees where in the image something is", async () => {
    const side = of.vision.imageSize;
    const p = parametersOf(of);
    const corner = (at: number) => {
      const data = new Float32Array(3 * side * side);
      for (let y = 0; y < 4; y++) for (let x = 0; x < 4; x++) data[(y + at) * side + x + at] = 1;
      return float32(data, [1, 3, side, side]);
    };
    const y = encodeImage(p, of, input("x", [1, 3, side, side]));
    const [first, second] = [await run({ y }, { x: corner(0) }), await run({ y }, { x: corner(side - 4) })];
    const difference = Math.max(
      ...[...(first["y"]!.data as Float32Array)].map((value, i) => Math.abs(value - Number(second["y"]!.data[i]))),
    );
    expect(difference).toBeGreaterThan(1e-3);
  });
});

describe("clip", () => {
  it("gives unit vectors, and as logits their cosines times exp(logitScale)", async () => {
    const scale = constant(float32([Math.log(20)], []));
    const p = { ...parametersOf(config), logitScale: scale };
    const pixelValues = input("pixelValues", [3, 3, 8, 8]);
    const feeds = { pixelValues: pixels(config, 5), inputIds: int32(ids, [3, 6]), endOfText: ends };
    const outputs = await run(clip(p, config, { pixelValues, inputIds, endOfText }), feeds);
    const rows = (name: string) =>
      [0, 1, 2].map((i) => [...(outputs[name]!.data as Float32Array)].slice(8 * i, 8 * (i + 1)));
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    const [images, texts] = [rows("imageEmbeds"), rows("textEmbeds")];
    for (const vector of [...images, ...texts]) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    images.forEach((image, i) =>
      texts.forEach((text, t) => {
        expect(outputs["logitsPerImage"]!.data[3 * i + t]).toBeCloseTo(20 * dot(image, text), 4);
        expect(outputs["logitsPerText"]!.data[3 * t + i]).toBeCloseTo(20 * dot(image, text), 4);
      }),
    );
  });

  it("adds the bias of a SigLIP-style model", async () => {
    const [scale, bias] = [Math.log(10), -10].map((value) => constant(float32([value], [])));
    const vectors = constant(float32([0.6, 0.8, 1, 0], [2, 2]));
    const { y } = await run({ y: clipLogits({ logitScale: scale!, logitBias: bias! }, vectors, vectors) }, {});
    [0, -4, -4, 0].forEach((wanted, i) => expect(y!.data[i]).toBeCloseTo(wanted, 5));
  });
});

describe("checkpointBlocks", () => {
  it("changes no gradient", async () => {
    const side = config.vision.imageSize;
    const p = parametersOf(config);
    const x = input("x", [3, 3, side, side]);
    const slope = (checkpointBlocks: boolean) => {
      const { imageFeatures: features } = imageTower(p.vision, config, x, { checkpointBlocks });
      return gradients(features.square().sum(), [x])[0]!;
    };
    const { plain, recomputed } = await run({ plain: slope(false), recomputed: slope(true) }, { x: pixels(config, 4) });
    const difference = Math.hypot(
      ...[...(plain!.data as Float32Array)].map((value, i) => value - Number(recomputed!.data[i])),
    );
    expect(difference / Math.hypot(...(plain!.data as Float32Array))).toBeLessThan(1e-6);
  });
});
