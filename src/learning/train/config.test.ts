import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { tinyResNet, tinyVit } from "../../../test/train/tiny-run.ts";
import { ClipError } from "../../core/errors.ts";
import { parseStrict } from "../../core/parse.ts";
import { clipConfigs } from "../../model/towers/configs.ts";
import { checkTrainable, readTrainConfig, trainConfigSchema, trainedArchitecture } from "./config.ts";

const least = { model: tinyVit, train: "images", batchSize: 8, steps: 100, learningRate: 1e-3 };

/** What is wrong with the least configuration and these changes, line by line. */
function problemsOf(change: object): string[] {
  try {
    parseStrict(trainConfigSchema, { ...least, ...change }, "train.json");
  } catch (error) {
    expect(error).toBeInstanceOf(ClipError);
    expect(error).toMatchObject({ code: "CLIP_CONFIG" });
    return (error as ClipError).message.split("\n").slice(1);
  }
  throw new Error("was accepted");
}

describe("a run's configuration", () => {
  it("needs five things; the rest is as CLIP was trained", () => {
    expect(parseStrict(trainConfigSchema, least, "train.json")).toEqual({
      ...least,
      templates: ["{}"],
      augment: {
        geometry: { kind: "randomResizedCrop", area: [0.9, 1] },
        blur: 0,
        brightness: 0,
        contrast: 0,
        saturation: 0,
        grayscale: 0,
        erase: 0,
      },
      schedule: "cosine",
      warmupSteps: 0,
      cooldownSteps: 0,
      labelSmoothing: 0,
      lockImage: false,
      unlockedImageBlocks: 0,
      lockText: false,
      unlockedTextBlocks: 0,
      patchDropout: 0,
      layerDecay: 1,
      noWeightDecay: [],
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-6,
      weightDecay: 0.2,
      checkpointBlocks: false,
      seed: 0,
      validateEvery: 1000,
      saveEvery: 1000,
      dtype: "F32",
    });
  });

  it("takes several sources with weights, whose paths are relative to the file, addresses as they are", async () => {
    const folder = await temporaryFolder();
    const train = [
      { source: "shards/{00..09}.tar", weight: 2 },
      { source: "classes", classTemplates: ["a {}"] },
      { source: "https://data.example/x.tar" },
    ];
    const validation = { source: "more.csv", captionColumn: "text" };
    await writeFile(join(folder, "train.json"), JSON.stringify({ ...least, train, validation }));
    expect(await readTrainConfig(join(folder, "train.json"))).toMatchObject({
      train: [
        { source: join(folder, "shards/{00..09}.tar"), weight: 2 },
        { source: join(folder, "classes") },
        { source: "https://data.example/x.tar" },
      ],
      validation: { source: join(folder, "more.csv"), captionColumn: "text" },
    });
  });

  it("takes the objective clips with the paper's weight and length, and a place for synthetic captions in each source", () => {
    const train = [{ source: "a.csv", syntheticColumn: "long" }, { source: "b" }];
    const change = { train, objective: { kind: "clips" }, syntheticColumn: "other" };
    expect(parseStrict(trainConfigSchema, { ...least, ...change }, "train.json")).toMatchObject({
      ...change,
      objective: { kind: "clips", decoderWeight: 2, captionLength: 128 },
    });
  });

  it("says what is wrong with a source", () => {
    expect(problemsOf({ train: [{ source: "a", wieght: 2 }] })).toEqual([
      '  train.0.wieght is unknown; did you mean "weight"?',
    ]);
    expect(problemsOf({ train: [{ source: "a", weight: 0 }] })[0]).toMatch(/train\.0\.weight/);
    expect(problemsOf({ train: [{ source: "a", classTemplates: ["a class"] }] })[0]).toMatch(/classTemplates\.0.*\{\}/);
    expect(problemsOf({ train: [] })[0]).toMatch(/train/);
  });

  it("says everything that is missing at once", () => {
    const nothing = { train: undefined, batchSize: undefined, steps: undefined };
    expect(problemsOf(nothing)).toEqual(["  train is missing", "  batchSize is missing", "  steps is missing"]);
  });

  it.each([
    [{ learnigRate: 1 }, '  learnigRate is unknown; did you mean "learningRate"?'],
    [{ batch_size: 8 }, '  batch_size is unknown; did you mean "batchSize"?'],
    [{ tokenizer: "caption" }, '  tokenizer: "caption" is unknown; did you mean "captions"?'],
    [{ model: "ViT-B/32" }, '  model: "ViT-B/32" is unknown; did you mean "ViT-B-32"?'],
    [
      { model: { ...tinyVit, vision: { ...tinyVit.vision, widht: 8 } } },
      '  model.vision.widht is unknown; did you mean "width"?',
    ],
    [
      { model: { ...tinyVit, activation: undefined } },
      "  model.activation is missing; it is one of quickGelu, gelu, geluTanh",
    ],
    [
      { model: { ...tinyVit, activation: "quickGELU" } },
      '  model.activation: "quickGELU" is unknown; did you mean "quickGelu"?',
    ],
    [
      { preprocess: { mean: [0, 0, 0], std: [1, 1, 1], resmaple: "bicubic", resample: "bicubic" } },
      '  preprocess.resmaple is unknown; did you mean "resample"?',
    ],
    [{ model: undefined }, "  model: a run needs a model or init, and not both"],
    [{ init: "old" }, "  model: a run needs a model or init, and not both"],
    [
      { model: undefined, init: "old", tokenizer: "clip" },
      "  init: brings its own tokenizer and preprocess; leave these out",
    ],
    [{ lora: { rank: 4, alpha: 4 } }, "  lora: needs a model to change; set init"],
    [
      { model: undefined, init: "old", lora: { rank: 4, alpha: 4 }, lockImage: true, unlockedImageBlocks: 1 },
      "  lora: applies to all blocks of a tower; leave out unlockedImageBlocks and unlockedTextBlocks",
    ],
    [{ imageSize: 32 }, "  imageSize: is for init; a new model's is model.vision.imageSize"],
    [{ chunkSize: 3 }, "  chunkSize: must divide batchSize"],
    [
      { syntheticColumn: "long" },
      '  syntheticColumn: is for synthetic captions; set "objective" to { "kind": "clips" }',
    ],
    [
      { train: [{ source: "a", syntheticColumn: "long" }] },
      '  syntheticColumn: is for synthetic captions; set "objective" to { "kind": "clips" }',
    ],
    [{ objective: { kind: "clip" } }, '  objective.kind: "clip" is unknown; did you mean "clips"?'],
    [
      { objective: { kind: "clips", decoderWieght: 1 } },
      '  objective.decoderWieght is unknown; did you mean "decoderWeight"?',
    ],
    [{ cooldownSteps: 3 }, '  cooldownSteps: is for a constant schedule; set "schedule" to "constant"'],
    [
      { schedule: "constant", cooldownSteps: 60, warmupSteps: 50 },
      "  warmupSteps: with cooldownSteps must be at most steps",
    ],
    [{ warmupSteps: 1_000_000 }, "  warmupSteps: with cooldownSteps must be at most steps"],
    [{ unlockedTextBlocks: 1 }, "  unlockedTextBlocks: only a locked tower has blocks to unlock; set lockText"],
    [{ unlockedImageBlocks: 1 }, "  unlockedImageBlocks: only a locked tower has blocks to unlock; set lockImage"],
    [{ templates: ["a photo of a {}", "a photo"] }, '  templates.1: Invalid string: must include "{}"'],
  ])("names the place and the way out: %j", (change, problem) => {
    expect(problemsOf(change)).toEqual([problem]);
  });

  it.each([
    { batchSize: 0 },
    { steps: 2.5 },
    { learningRate: 0 },
    { learningRate: Infinity },
    { beta1: 1 },
    { beta2: 1 },
    { emaDecay: 1 },
    { epsilon: 0 },
    { weightDecay: -0.1 },
    { gradClipNorm: 0 },
    { warmupSteps: -1 },
    { labelSmoothing: 1 },
    { objective: { kind: "clips", decoderWeight: -1 } },
    { objective: { kind: "clips", decoderWeight: Infinity } },
    { objective: { kind: "clips", captionLength: 0 } },
    { objective: { kind: "clips", captionLength: 2_000 } },
    { model: undefined, init: "old", lora: { rank: 0, alpha: 4 } },
    { model: undefined, init: "old", lora: { rank: 4, alpha: 0 } },
    { patchDropout: 0.95 },
    { layerDecay: 0 },
    { layerDecay: 1.1 },
    { templates: [] },
    { preprocess: { mean: [0, 0, 0], std: [1, 0, 1], resample: "bicubic" } },
  ])("refuses numbers with which nothing can be computed: %j", (change) => {
    expect(problemsOf(change)).toHaveLength(1);
  });

  it("takes one source with how it is read without a list around it", () => {
    const one = { source: "pets", classTemplates: ["a {}"] };
    expect(parseStrict(trainConfigSchema, { ...least, train: one }, "train.json").train).toEqual([one]);
    expect(problemsOf({ train: { ...one, clasTemplates: ["a {}"] } })[0]).toContain('did you mean "classTemplates"?');
  });

  it("counts paths from its own folder when it is read from a file", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "runs"));
    const path = join(folder, "runs", "train.json");
    await writeFile(
      path,
      JSON.stringify({ ...least, model: undefined, init: "../old", train: "../images", validation: "/elsewhere" }),
    );
    expect(await readTrainConfig(path)).toMatchObject({
      init: join(folder, "old"),
      train: join(folder, "images"),
      validation: "/elsewhere",
    });

    const named = async (init: string) => {
      await writeFile(path, JSON.stringify({ ...least, model: undefined, init }));
      return (await readTrainConfig(path)).init;
    };
    expect(await named("ViT-B/32")).toBe("ViT-B/32");
    expect(await named("google/siglip-base-patch16-224")).toBe("google/siglip-base-patch16-224");
    await mkdir(join(folder, "runs", "google"));
    await writeFile(join(folder, "runs", "google", "siglip-base-patch16-224"), "");
    expect(await named("google/siglip-base-patch16-224")).toBe(join(folder, "runs/google/siglip-base-patch16-224"));

    await writeFile(path, JSON.stringify({ ...least, lerningRate: 1 }));
    await expect(readTrainConfig(path)).rejects.toThrow(`${path} is invalid`);
    await expect(readTrainConfig(join(folder, "none.json"))).rejects.toMatchObject({ code: "CLIP_FILE" });
  });
});

describe("the trained architecture", () => {
  it("has as many tokens as the vocabulary made of the captions", () => {
    const config = parseStrict(trainConfigSchema, { ...least, tokenizer: "captions" }, "train.json");
    expect(trainedArchitecture(config, 530)).toEqual({ ...tinyVit, text: { ...tinyVit.text, vocabSize: 530 } });
  });

  it("is a published one by name, with its own vocabulary", () => {
    const config = parseStrict(trainConfigSchema, { ...least, model: "ViT-B-32" }, "train.json");
    expect(trainedArchitecture(config, 49_408)).toEqual(clipConfigs["ViT-B-32"]);
  });

  it("is one by name with a vocabulary made of the captions too", () => {
    const named = { ...least, model: "pictogram", tokenizer: "captions" };
    const { text, ...rest } = trainedArchitecture(parseStrict(trainConfigSchema, named, "train.json"), 1_900);
    expect({ ...rest, text: { ...text, vocabSize: 2048 } }).toEqual(clipConfigs.pictogram);
    expect(text.vocabSize).toBe(1_900);
  });

  it("is refused with smoothed labels where scores are sigmoids", () => {
    const change = { model: { ...tinyVit, score: "sigmoid" }, tokenizer: "captions", labelSmoothing: 0.1 };
    const config = parseStrict(trainConfigSchema, { ...least, ...change }, "train.json");
    expect(() => trainedArchitecture(config, 540)).toThrow(/labelSmoothing is for softmax losses/);
  });

  it.each([
    [{ kind: "resnet", imageSize: 16, width: 8, layers: [1, 1], heads: 2, norm: "batch" }],
    [{ ...tinyVit.vision, pool: "places" }],
  ])("is refused with dropped patches where features are read from all places: %j", (vision) => {
    const change = { model: { ...tinyVit, vision }, tokenizer: "captions", patchDropout: 0.5 };
    const config = parseStrict(trainConfigSchema, { ...least, ...change }, "train.json");
    expect(() => trainedArchitecture(config, 540)).toThrow(
      /patchDropout is for ViTs that read their features from one token/,
    );
  });

  it("is refused if the published vocabulary does not fit it", () => {
    const config = parseStrict(trainConfigSchema, least, "train.json");
    expect(() => trainedArchitecture(config, 49_408)).toThrow(
      'text.vocabSize is 540, but the published vocabulary has 49408 tokens; set it to 49408, or set "tokenizer" to "captions"',
    );
  });

  it("has blocks for changes of low rank in a tower that is not locked", () => {
    const run = parseStrict(
      trainConfigSchema,
      { ...least, model: undefined, init: "old", lora: { rank: 2, alpha: 2 }, lockText: true },
      "train.json",
    );
    expect(() => checkTrainable(run, tinyResNet)).toThrow("no unlocked tower has any");
  });
});
