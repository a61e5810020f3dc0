import { join } from "node:path";
import { float32, type TensorData } from "../core/tensor-data.ts";
import { captionWords, saveModel } from "../embedding/index.ts";
import { type ClipConfig, initializeParameters, parameterSpecs } from "../models/index.ts";
import { Remote } from "../runtime/remote.ts";
import { ClipTokenizer, trainBpe } from "../text/index.ts";
import { configuredArchitecture, type TrainConfig, trainedArchitecture } from "./config.ts";
import type { EngineOptions, EngineState } from "./engine.ts";
import type { EngineMethods } from "./engine-worker.ts";
import { DataLoader } from "./loader.ts";
import { readPairs, readSources } from "./pairs.ts";
import { Run, type TrainOptions, type TrainResult } from "./run.ts";
import { RunFolder, runFiles } from "./run-folder.ts";
import type { Pairs, SourceOptions } from "./sources/samples.ts";
import { Validator } from "./validate.ts";

/**
 * Pre-trains a CLIP on pairs of pictures and captions (Radford et al. 2021, section 2). The folder `out` gets
 * `metrics.jsonl` while it runs and `model/`, which `loadClip` reads, at its end. The same configuration gives the same
 * metrics to the bit, whenever the run is stopped, by whatever, and resumed.
 *
 * @throws {ClipError} `CLIP_DATA` if there are too few pairs or most pictures are broken; `CLIP_TRAIN` if the loss is no
 *   finite number any more (the last checkpoint stays, `failure.json` has the batch) or the folder holds another run;
 *   `CLIP_FILE` if the disk is full.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const common = { ...config, signal: options.signal, onProgress: options.onDownload };
  const pairs = await readSources(config.train, common);
  const { mixture } = pairs;
  const captions = pairs.samples.flatMap((sample) => sample.captions);
  const tokenizer = await makeTokenizer(config, captions);
  const architecture = trainedArchitecture(config, tokenizer.vocabSize);
  const preprocess = { ...config.preprocess, imageSize: architecture.vision.imageSize };
  const { contextLength } = architecture.text;
  const validation = config.validation === undefined ? undefined : await readValidation(config.validation, common);
  const validator = validation && new Validator(validation.samples, { ...config, tokenizer, preprocess });

  const identity = { config, samples: [...pairs.samples, ...(validation?.samples ?? [])] };
  const { state, ...opened } = await RunFolder.open(options.out, identity, { resume: options.resume ?? false });
  await using folder = opened.folder;
  await using loader = new DataLoader(pairs.samples, { ...config, mixture, preprocess, tokenizer, contextLength });
  const skipped = () =>
    [pairs.skipped, validation?.skipped, loader.broken, validator?.broken].flatMap((list) => list ?? []);
  const engine = new Remote<EngineMethods>(new URL("./engine-worker", import.meta.url));
  try {
    await startEngine(engine, config, architecture, state);
    const { samples } = pairs;
    const run = new Run({ config, options, folder, loader, validator, engine, architecture, samples, skipped });
    const result = await run.loop(state?.steps ?? 0);
    if (result.finished) {
      const weights = await finalWeights(engine, architecture);
      const words = captionWords(captions);
      const model = { config: architecture, preprocess, tokenizer, parameters: weights, words, dtype: config.dtype };
      await saveModel(join(options.out, runFiles.model), model);
    }
    return { ...result, skipped: await folder.writeSkipped(skipped()) };
  } finally {
    await engine.end();
  }
}

async function readValidation(
  validation: NonNullable<TrainConfig["validation"]>,
  common: SourceOptions,
): Promise<Pairs> {
  const { source, ...own } = typeof validation === "string" ? { source: validation } : validation;
  return readPairs(source, { ...common, ...own });
}

async function makeTokenizer(config: TrainConfig, captions: readonly string[]): Promise<ClipTokenizer> {
  if (config.tokenizer === "clip") return ClipTokenizer.published();
  return new ClipTokenizer(trainBpe(captions, configuredArchitecture(config).text.vocabSize));
}

/** The averaged weights if there are any, else the last ones. */
async function finalWeights(
  engine: Remote<EngineMethods>,
  architecture: ClipConfig,
): Promise<Map<string, TensorData<"float32">>> {
  const { parameters, average } = await engine.call("state", []);
  const specs = parameterSpecs(architecture);
  return new Map(
    Array.from(average ?? parameters, ([path, values]) => [path, float32(values, specs.get(path)!.shape)]),
  );
}

async function startEngine(
  engine: Remote<EngineMethods>,
  config: TrainConfig,
  architecture: ClipConfig,
  state: EngineState | undefined,
): Promise<void> {
  const options: EngineOptions = {
    ...config,
    config: architecture,
    chunkSize: config.chunkSize ?? config.batchSize,
    gradClipNorm: config.gradClipNorm,
    averageDecay: config.averageDecay,
  };
  const initial = Array.from(
    initializeParameters(architecture, config.seed),
    ([path, { data }]) => [path, data] as const,
  );
  const parameters = new Map(initial);
  await engine.call("create", [options, parameters], parameters.values());
  if (state) await engine.call("restore", [state]);
}
