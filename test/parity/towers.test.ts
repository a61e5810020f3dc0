import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  clipConfigSchema,
  openSafetensors,
  readFloats,
  readIntegers,
  storedParameters,
} from "../../src/checkpoints/index.ts";
import { parseStrict } from "../../src/core/parse.ts";
import { int32, type TensorData } from "../../src/core/tensor-data.ts";
import { readModel } from "../../src/embedding/index.ts";
import { input, reachable, type Tensor } from "../../src/graph/tensor.ts";
import { type ClipConfig, clipLogits, encodeImage, encodeText } from "../../src/models/index.ts";
import { Session } from "../../src/runtime/session.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import {
  openTowers,
  ownTowers,
  readTexts,
  type RecordedTowers,
  relativeError,
  sharedTowers,
  valuesOf,
} from "./towers.ts";

/** The names of the reference data, as patterns, to ours. */
const sharedNames: readonly [RegExp, string][] = [
  [/^vision\.conv1$/, "vision.patches"],
  [/^vision\.ln_pre$/, "vision.lnPre"],
  [/^vision\.ln_post$/, "vision.lnPost"],
  [/^vision\.layer1\.(\d)$/, "vision.stages.0.$1"],
  [/^vision\.layer2\.(\d)$/, "vision.stages.1.$1"],
  [/^vision\.layer3\.(\d)$/, "vision.stages.2.$1"],
  [/^vision\.layer4\.(\d)$/, "vision.stages.3.$1"],
  [/^vision\.attnpool$/, "imageFeatures"],
  [/^text\.token_embedding$/, "text.tokens"],
  [/^text\.ln_final$/, "text.lnFinal"],
  [/^(\w+)\.block\.(\d)\.ln_1$/, "$1.blocks.$2.ln1"],
  [/^(\w+)\.block\.(\d)$/, "$1.blocks.$2"],
  [/^(image|text)_features_norm$/, "$1Embeds"],
  [/^(image|text)_features$/, "$1Features"],
  [/^vision\.patch_embedding$/, "vision.patches"],
  [/^vision\.post_layernorm$/, "vision.lnPost"],
  [/^vision\.head\.attention$/, "vision.probe"],
  [/^text\.final_layer_norm$/, "text.lnFinal"],
  [/^(image|text)_pooler_output$/, "$1Features"],
  [/^(image|text)_embeds$/, "$1Embeds"],
  [/^logit_bias$/, "logitBias"],
  [/^logit_scale$/, "logitScale"],
  [/^logit_scale_exp$/, "logitScaleExp"],
  [/^logits_per_(image|text)$/, "logitsPer $1"],
  [/^probs_per_(image|text)$/, "probabilitiesPer $1"],
];

function ourName(theirs: string): string {
  const row = sharedNames.find(([pattern]) => pattern.test(theirs));
  const name = row ? theirs.replace(...row) : theirs;
  return name.replace(/Per (\w)/, (_, letter: string) => `Per${letter.toUpperCase()}`);
}

/** Everything that a forward pass computes and that has a name. */
function forward({ config, parameters }: RecordedTowers): Map<string, Tensor> {
  const { imageSize } = config.vision;
  const { contextLength } = config.text;
  const p = storedParameters(config, parameters);
  const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
  const inputIds = input("inputIds", ["texts", contextLength], "int32");
  const endOfText = input("endOfText", ["texts"], "int32");
  const imageFeatures = encodeImage(p, config, pixelValues);
  const textFeatures = encodeText(p, config, { inputIds, endOfText });
  const logits = clipLogits(imageFeatures, textFeatures, p);
  const graph = reachable(Object.values(logits));
  const named = graph.flatMap((tensor): [string, Tensor][] => (tensor.name ? [[tensor.name, tensor]] : []));
  const probabilities = (logits: Tensor) => (config.score === "sigmoid" ? logits.sigmoid() : logits.softmax(1));
  return new Map<string, Tensor>([
    ...named,
    ["text.blocks.0.ln1", graph.find(({ inputs }) => inputs[1] === p.text.blocks[0]!.ln1.weight)!],
    ...Object.entries({ imageFeatures, textFeatures, ...logits, logitScaleExp: p.logitScale.exp() }),
    ["probabilitiesPerImage", probabilities(logits.logitsPerImage)],
    ["probabilitiesPerText", probabilities(logits.logitsPerText)],
  ]);
}

/** The relative error of each recorded value, by its recorded name. */
async function errorsOf(towers: RecordedTowers, names: ReadonlyMap<string, string>, feeds: Record<string, TensorData>) {
  const computed = forward(towers);
  const outputs = [...names].map(([recorded, ours]) => [recorded, computed.get(ours)] as const);
  expect(outputs.filter(([, tensor]) => !tensor)).toEqual([]);
  await using session = await Session.compile(Object.fromEntries(outputs) as Record<string, Tensor>);
  const results = await session.run(feeds);
  const errors = new Map<string, number>();
  for (const name of names.keys()) {
    const met = results[name]!;
    const wanted = towers.recorded.get(name)!;
    // One recording has scalars as [1].
    expect([name, met.shape]).toEqual([name, met.shape.length === 0 ? [] : wanted.shape]);
    errors.set(name, relativeError(met.data as Float32Array, await valuesOf(towers.recorded, name)));
  }
  return errors;
}

/** What our own recording holds beside activations and outputs. */
const notActivations = /^(pixelValues|inputIds|endOfText|loss)$|^(grad|after|logitsPerImage)\./;

function expectAllWithin(tolerance: number, errors: ReadonlyMap<string, number>): void {
  expect([...errors].filter(([, error]) => !(error < tolerance))).toEqual([]);
}

/** Texts that are read at their last place. */
function lastPlaces(inputIds: TensorData) {
  const [texts, length] = inputIds.shape as [number, number];
  return { inputIds, endOfText: int32(new Int32Array(texts).fill(length - 1), [texts]) };
}

/** The reference models in every container and layout that they come in. */
const sharedWeights = (
  [
    ["vit-tiny", "hf/model.safetensors"],
    ["vit-tiny", "open_clip-customtext/open_clip_model.safetensors"],
    ...(["vit-tiny", "rn-tiny"] as const).flatMap((name) => [
      [name, "model.safetensors"],
      [name, "openai-jit.pt"],
      [name, "state_dict.pt"],
      [name, "state_dict-legacy.pt"],
      [name, "open_clip/open_clip_model.safetensors"],
    ]),
  ] as const
).map(([name, weights]) => [name, weights] as ["vit-tiny" | "rn-tiny", string]);

// Relative L2, float32. Another activation than the recorded one is 5e-3 off.
const tolerance = 1e-5;

describe("the towers", () => {
  // Measured: at most 7.9e-7.
  describe.each(["vit", "resnet"] as const)(
    "as our own statement of the papers in PyTorch computes them, %s",
    (kind) => {
      const open = async (activation?: ClipConfig["activation"]) => {
        const folder = ownTowers(kind);
        const config = parseStrict(
          clipConfigSchema,
          JSON.parse(await readFile(`${folder}/config.json`, "utf8")),
          folder,
        );
        const towers = await openTowers(folder, activation ? { ...config, activation } : config);
        const { inputIds, endOfText } = await readTexts(towers.recorded.get("inputIds")!);
        const pixelValues = await readFloats(towers.recorded.get("pixelValues")!);
        return { towers, feeds: { pixelValues, inputIds, endOfText } };
      };

      it("give every recorded activation and output", async () => {
        const { towers, feeds } = await open();
        const names = [...towers.recorded.keys()].filter((name) => !notActivations.test(name));
        expect(names).toHaveLength(kind === "vit" ? 14 : 13);
        const errors = await errorsOf(towers, new Map(names.map((name) => [name, name])), feeds);
        expectAllWithin(tolerance, errors);
      });

      const others = (["quickGelu", "gelu", "geluTanh"] as const).filter(
        (name) => name !== (kind === "vit" ? "quickGelu" : "geluTanh"),
      );
      it.each(others)("give the recorded logits with %s in the place of their own activation", async (activation) => {
        const { towers, feeds } = await open(activation);
        const errors = await errorsOf(towers, new Map([[`logitsPerImage.${activation}`, "logitsPerImage"]]), feeds);
        expectAllWithin(tolerance, errors);
      });
    },
  );

  it("as our own statement of SigLIP's papers in PyTorch computes them give every recorded value", async () => {
    const folder = ownTowers("siglip");
    const json = JSON.parse(await readFile(`${folder}/config.json`, "utf8")) as unknown;
    const towers = await openTowers(folder, parseStrict(clipConfigSchema, json, folder));
    const inputIds = await readIntegers(towers.recorded.get("inputIds")!);
    const feeds = { pixelValues: await readFloats(towers.recorded.get("pixelValues")!), ...lastPlaces(inputIds) };
    const names = [...towers.recorded.keys()].filter((name) => !notActivations.test(name));
    expect(names).toHaveLength(18);
    expectAllWithin(tolerance, await errorsOf(towers, new Map(names.map((name) => [name, name])), feeds));
  });

  // Measured: at most 6.6e-7 and 2.0e-6.
  describe.skipIf(sharedMissing).each(sharedWeights)(
    `as OpenAI's code computes them, %s, from %s${sharedMissing}`,
    (name, weights) => {
      it("give every recorded activation and output", async () => {
        const towers = await openTowers(sharedTowers(name), undefined, weights);
        const pixelValues = await readFloats(towers.recorded.get("pixel_values")!);
        const feeds = { pixelValues, ...(await readTexts(towers.recorded.get("input_ids")!)) };
        const recorded = [...towers.recorded.keys()].filter((key) => key !== "pixel_values" && key !== "input_ids");
        expect(recorded).toHaveLength(20);
        const errors = await errorsOf(towers, new Map(recorded.map((key) => [key, ourName(key)])), feeds);
        expectAllWithin(tolerance, errors);
      });
    },
  );

  describe.skipIf(sharedMissing).each(["hf", "open_clip"])(
    `as Hugging Face's code computes SigLIP, from the folder %s${sharedMissing}`,
    (layout) => {
      const open = async () => {
        const folder = `${sharedFolder}fixtures/siglip-tiny`;
        const { tensors: recorded } = await openSafetensors(`${folder}/io.safetensors`);
        const { config, parameters } = await readModel(`${folder}/${layout}`);
        const inputIds = await readIntegers(recorded.get("input_ids")!);
        const pixelValues = await readFloats(recorded.get("pixel_values")!);
        return { towers: { config, parameters, recorded }, feeds: { pixelValues, ...lastPlaces(inputIds) } };
      };

      it("give every recorded activation and output", async () => {
        const { towers, feeds } = await open();
        const names = [...towers.recorded.keys()].filter((key) => key !== "pixel_values" && key !== "input_ids");
        expect(names).toHaveLength(23);
        const errors = await errorsOf(towers, new Map(names.map((name) => [name, ourName(name)])), feeds);
        expectAllWithin(tolerance, errors);
      });
    },
  );
});
