import { describe, expect, it } from "vitest";
import { tinyResNet, tinyVit } from "../../../../test/train/tiny-run.ts";
import { type ClipConfig, type VitConfig } from "../../../model/towers/config.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { trainedParameters, trainEverything } from "./trained-parameters.ts";

const deep: ClipConfig = { ...tinyVit, vision: { ...(tinyVit.vision as VitConfig), layers: 3 } };
const groupNorm: ClipConfig = {
  ...tinyVit,
  vision: { kind: "resnet", imageSize: 32, width: 16, layers: [2, 1], heads: 2, norm: "group" },
};
const choose = (config: ClipConfig, change: object) => trainedParameters(config, { ...trainEverything, ...change });

describe("the parameters that are trained", () => {
  it("are by default all that can be learned, at one rate; what has two axes or more decays", () => {
    const trained = choose(tinyResNet, {});
    const learnable = [...parameterSpecs(clipParameters(tinyResNet))].filter(([, { trainable }]) => trainable);
    expect(trained.map(({ path }) => path)).toEqual(learnable.map(([path]) => path));
    expect(new Set(trained.map(({ rateScale }) => rateScale))).toEqual(new Set([1]));
    expect(trained.map(({ decay }) => decay)).toEqual(learnable.map(([, { shape }]) => shape.length > 1));
  });

  it("have rates that fall from what follows the last block to what stands before the first", () => {
    const rate = new Map(choose(deep, { layerDecay: 0.5 }).map(({ path, rateScale }) => [path, rateScale]));
    const rates = [
      "patchEmbedding",
      "lnPre.bias",
      "blocks.0.ln1.bias",
      "blocks.2.mlp.fc.weight",
      "lnPost.bias",
      "projection",
    ];
    expect(rates.map((path) => rate.get(`vision.${path}`))).toEqual([1 / 16, 1 / 16, 1 / 8, 1 / 2, 1, 1]);
    const text = ["tokenEmbedding", "positionalEmbedding", "blocks.0.attn.qkv.weight", "lnFinal.weight", "projection"];
    expect(text.map((path) => rate.get(`text.${path}`))).toEqual([1 / 4, 1 / 4, 1 / 2, 1, 1]);
    expect(rate.get("logitScale")).toBe(1);
    const resnet = new Map(choose(groupNorm, { layerDecay: 0.5 }).map(({ path, rateScale }) => [path, rateScale]));
    const stages = ["stem.0.kernel", "stages.0.0.conv1.kernel", "stages.0.1.conv1.kernel", "stages.1.0.conv1.kernel"];
    expect(stages.map((path) => resnet.get(`vision.${path}`))).toEqual([1 / 16, 1 / 8, 1 / 4, 1 / 2]);
    expect(resnet.get("vision.attentionPool.q.weight")).toBe(1);
  });

  it("are the decoder's too, whatever is locked or changed by low rank, at the full rate", () => {
    const lora = { rank: 2, alpha: 2 };
    const config = { ...deep, text: { ...deep.text, lora }, decoder: { length: 4 } };
    const ofDecoder = choose(config, { lockImage: true, layerDecay: 0.5 }).filter(
      ({ path }) => !path.startsWith("text."),
    );
    const paths = [...parameterSpecs(clipParameters(config)).keys()].filter((path) => path.startsWith("decoder."));
    expect(paths).toHaveLength(2 + 2 + 1 + 12 + 2 + 1);
    expect(ofDecoder.map(({ path }) => path)).toEqual(paths);
    expect(new Set(ofDecoder.map(({ rateScale }) => rateScale))).toEqual(new Set([1]));
    expect(ofDecoder.find(({ path }) => path === "decoder.queries")).toMatchObject({ decay: true, shape: [4, 32] });
    const [queries] = choose(config, { noWeightDecay: ["decoder.queries"] }).filter(
      ({ path }) => path === "decoder.queries",
    );
    expect(queries).toMatchObject({ decay: false });
    expect(() => choose({ ...deep, decoder: { length: 4 } }, { lockImage: true, lockText: true })).toThrow(
      /both towers are locked/,
    );
  });

  it("are those behind the lock", () => {
    const inVision = (config: ClipConfig, change: object) =>
      choose(config, { lockImage: true, ...change }).flatMap(({ path }) =>
        path.startsWith("vision.") ? [path.split(".").slice(1, 4).join(".")] : [],
      );
    expect(inVision(deep, {})).toEqual([]);
    const last = new Set(inVision(deep, { unlockedImageBlocks: 1 }));
    expect([...last].filter((path) => !path.startsWith("blocks.2."))).toEqual([
      "lnPost.weight",
      "lnPost.bias",
      "projection",
    ]);
    expect(
      inVision(groupNorm, { unlockedImageBlocks: 1 }).every((path) => /^stages\.1\.0|^attentionPool/.test(path)),
    ).toBe(true);
    const all = inVision(deep, { unlockedImageBlocks: 3 });
    expect(all).toContain("blocks.0.ln1");
    expect(all).not.toContain("patchEmbedding");
  });

  it("do not decay if they are named, each or by the beginning of their paths", () => {
    const noWeightDecay = ["text.tokenEmbedding", "vision.blocks.0"];
    const decays = choose(deep, { noWeightDecay }).flatMap(({ path, decay }) => (decay ? [path] : []));
    expect(decays).toContain("vision.blocks.1.attn.qkv.weight");
    expect(decays.filter((path) => noWeightDecay.some((name) => path.startsWith(name)))).toEqual([]);
  });

  it.each([
    [deep, { lockImage: true, lockText: true }, /both towers are locked/],
    [deep, { lockImage: true, unlockedImageBlocks: 4 }, "4 blocks are unlocked, but the vision tower has 3"],
    [tinyResNet, { lockImage: true, unlockedImageBlocks: 1 }, /can only be locked as a whole/],
    [deep, { noWeightDecay: ["text.token"] }, /no parameter of the model is under text\.token;/],
  ])("are refused where they make no sense: %#", (config, change, message) => {
    expect(() => choose(config, change)).toThrow(message);
  });
});
