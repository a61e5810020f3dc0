import { describe, expect, it } from "vitest";
import type { ClipConfig } from "./config.ts";
import { countParameters, initializeParameters, mapParameters, parameterSpecs } from "../nn/parameters.ts";
import { clipParameters } from "./parameters.ts";

const text = { contextLength: 32, vocabSize: 300, width: 64, layers: 3, heads: 1 };
const vit: ClipConfig = {
  embedDim: 48,
  activation: "gelu",
  vision: { kind: "vit", imageSize: 64, patchSize: 8, width: 128, layers: 1, heads: 2 },
  text,
};
const resNet: ClipConfig = {
  embedDim: 48,
  activation: "gelu",
  vision: { kind: "resnet", imageSize: 64, width: 16, layers: [2, 1, 1, 1], heads: 8, norm: "batch" },
  text,
};

/** Root mean square: the standard deviation of numbers around 0. */
const size = (data: Float32Array) => Math.sqrt(data.reduce((sum, value) => sum + value ** 2, 0) / data.length);
const uniform = (bound: number) => bound / Math.sqrt(3);

// Standard deviations: openai/CLIP, clip/model.py, `initialize_parameters`; where that is silent, PyTorch's defaults for
// linear layers, convolutions (uniform in ±1/√fanIn) and attention (Xavier's bound for the fused matrix).
const standardDeviations: [string, ClipConfig, Record<string, number>][] = [
  [
    "text tower",
    vit,
    {
      "text.tokenEmbedding": 0.02,
      "text.positionalEmbedding": 0.01,
      "text.blocks.1.attn.qkv.weight": 64 ** -0.5,
      "text.blocks.1.attn.out.weight": (64 * 2 * 3) ** -0.5,
      "text.blocks.1.mlp.fc.weight": (2 * 64) ** -0.5,
      "text.blocks.1.mlp.proj.weight": (64 * 2 * 3) ** -0.5,
      "text.blocks.1.mlp.fc.bias": uniform(64 ** -0.5),
      "text.projection": 64 ** -0.5,
    },
  ],
  [
    "ViT",
    vit,
    {
      "vision.patchEmbedding": uniform((3 * 8 * 8) ** -0.5),
      "vision.classEmbedding": 128 ** -0.5,
      "vision.positionalEmbedding": 128 ** -0.5,
      "vision.blocks.0.attn.qkv.weight": uniform(Math.sqrt(6 / (128 + 3 * 128))),
      "vision.blocks.0.attn.out.weight": uniform(128 ** -0.5),
      "vision.blocks.0.mlp.fc.weight": uniform(128 ** -0.5),
      "vision.blocks.0.mlp.proj.weight": uniform(512 ** -0.5),
      "vision.projection": 128 ** -0.5,
    },
  ],
  [
    "ResNet",
    resNet,
    {
      "vision.stem.2.kernel": uniform((8 * 9) ** -0.5),
      "vision.stages.0.0.conv2.kernel": uniform((16 * 9) ** -0.5),
      "vision.stages.3.0.downsample.kernel": uniform(256 ** -0.5),
      "vision.attentionPool.positionalEmbedding": 512 ** -0.5,
      "vision.attentionPool.k.weight": 512 ** -0.5,
      "vision.attentionPool.out.weight": 512 ** -0.5,
      "vision.attentionPool.out.bias": uniform(512 ** -0.5),
    },
  ],
];

describe("initializeParameters", () => {
  it.each(standardDeviations)("spreads the numbers of the %s as OpenAI's code does", (_, config, wanted) => {
    const parameters = initializeParameters(clipParameters(config), 5);
    for (const [path, deviation] of Object.entries(wanted)) {
      const { data } = parameters.get(path)!;
      // Five standard errors of a standard deviation.
      const tolerance = 5 / Math.sqrt(2 * data.length);
      expect(Math.abs(size(data) / deviation - 1), path).toBeLessThan(tolerance);
    }
  });

  it("starts norms at 1 and 0, each bottleneck as its shortcut, logitScale at ln(1 / 0.07)", () => {
    const parameters = initializeParameters(clipParameters(resNet), 5);
    const only = (path: string) => new Set(parameters.get(path)!.data);
    expect(only("vision.stages.0.1.conv2.norm.weight")).toEqual(new Set([1]));
    expect(only("vision.stages.0.1.conv2.norm.bias")).toEqual(new Set([0]));
    expect(only("vision.stages.0.1.conv3.norm.weight")).toEqual(new Set([0]));
    expect(only("vision.stages.0.1.conv3.norm.runningVar")).toEqual(new Set([1]));
    expect(only("text.blocks.0.attn.qkv.bias")).toEqual(new Set([0]));
    expect(only("logitScale")).toEqual(new Set([Math.fround(2.6592600369)]));
  });

  it("is a function of the seed", () => {
    const at = (seed: number) => initializeParameters(clipParameters(vit), seed).get("vision.projection")!.data;
    expect(at(3)).toEqual(at(3));
    expect(at(3)).not.toEqual(at(4));
  });
});

describe("mapParameters", () => {
  it("puts what it is given for a path where the record has it", () => {
    const { text: tower, logitScale } = mapParameters(clipParameters(vit), (path) => path);
    expect(tower.blocks[2]!.mlp.fc.weight).toBe("text.blocks.2.mlp.fc.weight");
    expect(logitScale).toBe("logitScale");
  });
});

describe("countParameters", () => {
  it("leaves out what is not learned", () => {
    const all = [...parameterSpecs(clipParameters(resNet)).values()].reduce(
      (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
      0,
    );
    const channels = [...parameterSpecs(clipParameters(resNet))].filter(([path]) => path.endsWith("runningMean"));
    expect(all - countParameters(clipParameters(resNet))).toBe(
      2 * channels.reduce((sum, [, { shape }]) => sum + shape[0]!, 0),
    );
  });
});

describe("an impossible architecture", () => {
  const changed = (change: object): ClipConfig => ({
    ...vit,
    vision: { ...vit.vision, ...change },
  });
  it.each<[string, ClipConfig, RegExp]>([
    ["patches that do not tile the image", changed({ patchSize: 7 }), /imageSize 64 does not divide/],
    ["heads that do not share the width", changed({ heads: 3 }), /vision.width 128 does not divide into 3 heads/],
    [
      "a text tower of such heads",
      { ...vit, text: { ...text, heads: 5 } },
      /text.width 64 does not divide into 5 heads/,
    ],
  ])("is refused: %s", (_, config, message) => {
    expect(() => parameterSpecs(clipParameters(config))).toThrow(message);
  });
});
