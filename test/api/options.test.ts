import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, describe, expect, it } from "vitest";
import * as page from "../../src/browser.ts";
import { ClipError } from "../../src/core/errors.ts";
import * as evaluation from "../../src/evaluate.ts";
import * as graph from "../../src/graph.ts";
import * as image from "../../src/image.ts";
import * as clip from "../../src/index.ts";
import * as models from "../../src/models.ts";
import * as text from "../../src/text.ts";
import * as training from "../../src/train.ts";
import { openIndex } from "../../src/search.ts";
import * as vectors from "../../src/vectors.ts";
import { randomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";

const root = await temporaryFolder();
const path = await saveTinyModel(join(root, "model"));
const stored = await clip.readModel(path);
const model = new clip.ClipModel(stored);
afterAll(() => model.release());
const raster = randomImage(1);
const classifier = await clip.ZeroShotClassifier.create(model, ["a tree", "the sea"]);
const vector = new Float32Array(model.embedDim).fill(0.25);
const x = graph.input("x", [1, 1, 4, 4]);
const session = await graph.Session.compile({ y: x.mul(2) });
const tokenizer = await text.ClipTokenizer.published();
afterAll(() => session.release());
const pairs = { samples: [], skipped: [] };
const run = { model: "ViT-B-32", train: "x", batchSize: 2, steps: 1, learningRate: 1 };

const labelled = { classes: ["a", "b"], samples: [] };
const features = { features: graph.float32(new Float32Array(8), [4, 2]), labels: Int32Array.of(0, 0, 1, 1) };
const index = await openIndex(join(root, "index"), model);
afterAll(() => index[Symbol.asyncDispose]());
const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 };

/** A call of everything that takes options, by its name and that of the parameter. */
const calls: Readonly<Record<string, (options: never) => unknown>> = {
  "loadClip options": (options) => clip.loadClip(path, options),
  "resolveModel options": (options) => clip.resolveModel(path, options),
  "readModel options": (options) => clip.readModel(path, options),
  "inspectModel options": (options) => clip.inspectModel(path, options),
  "convertModel options": (options) => clip.convertModel(stored, join(root, "out"), options),
  "forward inputs": (inputs) => clip.forward(stored, inputs),
  "forward options": (options) => clip.forward(stored, {}, options),
  "measureQuantization inputs": (inputs) => clip.measureQuantization(model, stored, inputs),
  "measureQuantization options": (options) =>
    clip.measureQuantization(model, stored, { images: [], texts: [] }, options),
  "ClipEncoder.constructor options": (options) => new clip.ClipEncoder(stored, options),
  "ClipEncoder.encodeImages options": (options) => model.encodeImages([raster], options),
  "ClipEncoder.poolImages options": (options) => model.poolImages([raster], options),
  "ClipEncoder.encodeTexts options": (options) => model.encodeTexts(["a tree"], options),
  "ClipEncoder.logits options": (options) => model.logits([raster], ["a tree"], options),
  "ClipModel.constructor options": (options) => new clip.ClipModel(stored, options),
  "ClipModel.encodeImages options": (options) => model.encodeImages([raster], options),
  "ClipModel.poolImages options": (options) => model.poolImages([raster], options),
  "ClipModel.encodeTexts options": (options) => model.encodeTexts(["a tree"], options),
  "ClipModel.logits options": (options) => model.logits([raster], ["a tree"], options),
  "SearchIndex.add options": (options) => index.add([], options),
  "SearchIndex.search options": (options) => index.search("a tree", options),
  "ClipModel.classify options": (options) => model.classify(raster, ["a tree"], options),
  "ZeroShotClassifier.create options": (options) => clip.ZeroShotClassifier.create(model, ["a tree"], options),
  "ZeroShotClassifier.rank options": (options) => classifier.rank(vector, options),
  "Tensor.sum options": (options) => x.sum(0, options),
  "Tensor.mean options": (options) => x.mean(0, options),
  "conv2d options": (options) => graph.conv2d(x, graph.input("k", [1, 1, 2, 2]), options),
  "gradients options": (options) => graph.gradients(x.sum(), [x], options),
  "Session.compile options": (options) => graph.Session.compile({ y: x.mul(2) }, options),
  "Session.run options": (options) => session.run({}, options),
  "OrtSession.create options": (options) => graph.OrtSession.create(graph.buildModel({ y: x.mul(2) }), options),
  "minimize options": (options) => graph.minimize(new Map(), () => ({ loss: x.sum() }), options),
  "lbfgs options": (options) => graph.lbfgs((at) => ({ value: 0, gradient: at }), new Float64Array(1), options),
  "AdamW.create options": (options) => graph.AdamW.create(options, []),
  "AdamW.step options": async (options) => (await graph.AdamW.create(adamw, [])).step(new Map(), new Map(), options),
  "Ranger.constructor options": (options) => new graph.Ranger([], options),
  "Ranger.step options": async (options) => new graph.Ranger([]).step(new Map(), new Map(), options),
  "clipParameters config": (config) => models.clipParameters(config),
  "saveParameters options": (options) => models.saveParameters(join(root, "none.safetensors"), new Map(), options),
  "readLabelledImages options": (options) => evaluation.readLabelledImages(root, options),
  "readCaptionTable options": (options) => evaluation.readCaptionTable(join(root, "a.csv"), options),
  "readCandidates options": (options) => evaluation.readCandidates(join(root, "a.csv"), options),
  "evaluateZeroShot options": (options) => evaluation.evaluateZeroShot(model, labelled, options),
  "evaluateRetrieval options": (options) => evaluation.evaluateRetrieval(model, [], options),
  "evaluateCaptions options": (options) => evaluation.evaluateCaptions(model, [], options),
  "evaluateGeolocation options": (options) => evaluation.evaluateGeolocation(model, [], [], options),
  "encodeLabelled options": (options) => evaluation.encodeLabelled(model, [], "before", options),
  "trainProbe options": (options) => evaluation.trainProbe(features, ["a", "b"], options),
  "zeroShotHead options": (options) => evaluation.zeroShotHead(model, ["a tree", "the sea"], options),
  "BenchmarkSet.find options": (options) => evaluation.BenchmarkSet.find("cifar10", options),
  "embed options": (options) => vectors.embed(model, { texts: ["a"] }, options),
  "ClipTokenizer.encode options": (options) => tokenizer.encode("a tree", options),
  "ClipTokenizer.tokenize options": (options) => tokenizer.tokenize(["a tree"], options),
  "decodeImage options": (options) => image.decodeImage(raster, options),
  "preprocessImage config": (config) => image.preprocessImage(raster, config),
  "normalizePixels config": (config) => image.normalizePixels(new Uint8Array(3), config),
  "augmentImage config": (config) => image.augmentImage(raster, 8, config, new image.Random(1)),
  "train config": (config) => training.train(config, { out: root }),
  "train options": (options) => training.train(run as never, options),
  "overfit config": (config) => training.overfit(config),
  "overfit options": (options) => training.overfit(run as never, options),
  "finetune config": (config) => training.finetune(config, { out: root }),
  "finetune options": (options) => training.finetune({ model: path, data: root }, options),
  "planFinetuning request": (request) => training.planFinetuning(request),
  "readPairs options": (options) => training.readPairs(root, options),
  "readImages options": (options) => training.readImages(root, options),
  "readSources common": (options) => training.readSources(root, options),
  "readImage options": (options) => training.readImage({ image: join(root, "a.png") }, options),
  "checkData options": (options) => training.checkData(pairs, options),
  "packShards options": (options) => training.packShards(pairs, root, [], options),
  "scheduledLearningRate options": (options) => training.scheduledLearningRate(0, options),
};

/**
 * Not options: records of data or parameters, JavaScript's own options of errors, and the settings of layers and towers, which
 * read as formulas; TypeScript checks these, and `clipParameters` checks a configuration.
 */
const formulas =
  "attention|block|clip|encodeImage|encodeText|imageTower|modifiedResNet|textTransformer|transformer|visionTransformer";
const records = new RegExp(
  `^((constant|packShards|linear|layerNorm|groupNorm|clipLogits) \\(destructured\\)|ClipError.constructor options|(${formulas}) .*)$`,
);

/** The keys of every options object of the public API, as the compiler sees them. */
const declared = declaredOptions();

describe("the options of the public API", () => {
  it("are all called below", () => {
    const unmet = [...declared.keys()].filter((name) => !(name.replace(/^JsonTokenizer/, "ClipTokenizer") in calls));
    expect(unmet).toEqual([]);
    expect(Object.keys(calls).filter((name) => !declared.has(name))).toEqual([]);
    expect(page.loadClip).toBe(clip.loadClip);
  });

  it.each([...declared])(
    "%s: refuse what does not exist, and of each option what is of no kind",
    async (name, keys) => {
      const call = calls[name.replace(/^JsonTokenizer/, "ClipTokenizer")]!;
      const refusal = async (options: object): Promise<ClipError> => {
        const error = await settle(() => call(options as never));
        expect(error, JSON.stringify(Object.keys(options))).toBeInstanceOf(ClipError);
        return error as ClipError;
      };
      const isRun = /^(train|overfit) config$/.test(name);
      const unknown = await refusal({ ...(isRun && run), [`${keys[0]!}s`]: 1 });
      expect(unknown.code).toBe(isRun ? "CLIP_CONFIG" : "CLIP_USAGE");
      expect(unknown.message).toContain(`did you mean "${keys[0]!}"?`);
      for (const key of keys) {
        // No option takes a symbol.
        const wrong = await refusal({ ...(isRun && run), [key]: Symbol("wrong") });
        expect(wrong.code).toBe(isRun ? "CLIP_CONFIG" : "CLIP_USAGE");
        expect(wrong.message).toContain(key);
      }
    },
  );
});

describe("an argument of the wrong kind", () => {
  const none = undefined as never;
  it.each([
    [
      "a model forgotten to await",
      () => clip.ZeroShotClassifier.create(clip.loadClip(path) as never, ["a"]),
      "await it",
    ],
    ["a stored model forgotten to await", () => new clip.ClipEncoder(clip.readModel(path) as never), "await it"],
    ["labels as a string", () => model.classify(raster, "a cat" as never), 'got "a cat"; wrap it in [ ]'],
    ["labels with a number", () => model.classify(raster, ["a", 3] as never), "got a list that contains 3"],
    ["no labels", () => model.classify(raster, none), "labels must be a list"],
    ["a promise as an image", () => model.classify(Promise.resolve(raster) as never, ["a"]), "await it"],
    ["null as an image", () => model.classify(null as never, ["a"]), "got null"],
    ["a number among images", () => model.encodeImages([raster, 7 as never]), "image 1 must be an image"],
    ["one image where a list belongs", () => model.encodeImages(raster as never), "a list of images"],
    ["null among texts", () => model.encodeTexts(["a", null as never]), "text 1 must be a string, got null"],
    ["topK as a string", () => classifier.rank(vector, { topK: "3" as never }), 'whole number of at least 1, got "3"'],
    ["a vector of another length", () => classifier.rank(new Float32Array(3)), "a vector of 16 numbers"],
    ["vectors of two lengths", () => clip.dot(vector, new Float32Array(3)), "of the same length"],
    [
      "templates as a string",
      () => model.classify(raster, ["a"], { templates: "{}" as never }),
      "a list, each a string",
    ],
    ["a device", () => clip.loadClip(path, { device: "gpu" as never }), '"cpu" or "webgpu", got "gpu"'],
    ["a dtype", () => clip.loadClip(path, { dtype: "int8" as never }), '"q8" or "q4", got "int8"'],
    [
      "a controller as a signal",
      () => model.encodeTexts([], { signal: new AbortController() as never }),
      "AbortSignal",
    ],
    ["options that are null", () => model.classify(raster, ["a"], null as never), "options must be an object"],
    ["a text that is a number", () => tokenizer.encode(7 as never), "the text must be a string, got 7"],
    ["texts as a string", () => tokenizer.tokenize("a" as never), "wrap it in [ ]"],
    ["a tensor that is a string", () => x.add("1" as never), 'must be a Tensor, got "1"'],
  ])("says what is wanted: %s", async (_, call, message) => {
    const error = (await settle(call)) as ClipError;
    expect(error).toBeInstanceOf(ClipError);
    expect(error.code).toBe("CLIP_USAGE");
    expect(error.message).toContain(message);
  });
});

/** What a call ends with: an error, or undefined. */
async function settle(call: () => unknown): Promise<unknown> {
  try {
    const result: unknown = await call();
    if (typeof result === "object" && result !== null && Symbol.asyncIterator in result)
      await clip.collect(result as AsyncIterable<unknown>);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Every parameter that holds options, by the name of its function or method and its own, with the keys it may have. */
function declaredOptions(): ReadonlyMap<string, readonly string[]> {
  const repository = fileURLToPath(new URL("../..", import.meta.url));
  const entries = ["index", "graph", "browser", "text", "image", "models", "train", "evaluate", "vectors", "search"];
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(repository, "tsconfig.json"), (file) => ts.sys.readFile(file)).config,
    ts.sys,
    repository,
  );
  const files = entries.map((entry) => join(repository, "src", `${entry}.ts`));
  const program = ts.createProgram(files, options);
  const checker = program.getTypeChecker();
  const found = new Map<string, readonly string[]>();
  const look = (name: string, signatures: readonly ts.Signature[]) => {
    for (const signature of signatures) {
      const { declaration } = signature;
      if (declaration && ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Private) continue;
      for (const parameter of signature.parameters) {
        const isPattern = parameter.name.startsWith("__");
        if (!isPattern && !/^(options|config|common|inputs|request)$/.test(parameter.name)) continue;
        const type = checker.getNonNullableType(checker.getTypeOfSymbol(parameter));
        const keys = type.getProperties().map((property) => property.name);
        if (checker.isArrayLikeType(type) || type.isUnion() || keys.length === 0) continue;
        const place = `${name} ${isPattern ? "(destructured)" : parameter.name}`;
        if (!records.test(place)) found.set(place, keys);
      }
    }
  };
  for (const file of files) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!;
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      if (!(symbol.flags & ts.SymbolFlags.Value)) continue;
      const type = checker.getTypeOfSymbol(symbol);
      look(exported.name, type.getCallSignatures());
      if (!(symbol.flags & ts.SymbolFlags.Class)) continue;
      look(`${exported.name}.constructor`, type.getConstructSignatures());
      for (const member of [...type.getProperties(), ...checker.getDeclaredTypeOfSymbol(symbol).getProperties()]) {
        const isPrivate = member.declarations?.some(
          (declaration) => ts.isMethodDeclaration(declaration) && ts.isPrivateIdentifier(declaration.name),
        );
        if (isPrivate || member.name.startsWith("__")) continue;
        look(`${exported.name}.${member.name}`, checker.getTypeOfSymbol(member).getCallSignatures());
      }
    }
  }
  return found;
}
