import { join } from "node:path";
import { float32, type TensorData } from "../core/tensor-data.ts";
import { mergeLora, saveLora, saveModel } from "../embedding/index.ts";
import { type ClipConfig, parameterSpecs } from "../models/index.ts";
import { Remote } from "../runtime/remote.ts";
import type { TrainConfig } from "./config.ts";
import type { EngineOptions, EngineState } from "./engine.ts";
import type { EngineMethods } from "./engine-worker.ts";
import { EventFile } from "./event-file.ts";
import { DataLoader } from "./loader.ts";
import { Run, type TrainOptions, type TrainResult } from "./run.ts";
import { readRunData } from "./run-data.ts";
import { RunFolder, runFiles } from "./run-folder.ts";
import { type Start, startModel } from "./start.ts";
import { Validator } from "./validate.ts";

/**
 * Trains a CLIP, a new one or one that is there, on pairs of pictures and captions (Radford et al. 2021, section 2). The folder `out` gets
 * `metrics.jsonl` while it runs and `model/`, which `loadClip` reads, at its end. The same configuration gives the same
 * metrics to the bit, whenever the run is stopped, by whatever, and resumed.
 *
 * @throws {ClipError} `CLIP_DATA` if there are too few pairs or most pictures are broken; `CLIP_TRAIN` if the loss is no
 *   finite number any more (the last checkpoint stays, `failure.json` has the batch) or the folder holds another run;
 *   `CLIP_FILE` if the disk is full.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const common = { ...config, signal: options.signal, onProgress: options.onDownload };
  const { pairs, validation } = await readRunData(config, common);
  const { mixture } = pairs;
  const captions = pairs.samples.flatMap((sample) => sample.captions);
  const start = await startModel(config, captions);
  const { architecture, preprocess, tokenizer } = start;
  const { contextLength } = architecture.text;
  const { areClasses } = validation ?? {};
  const validator = validation && new Validator(validation.samples, { ...config, areClasses, tokenizer, preprocess });

  const identity = { config, samples: [...pairs.samples, ...(validation?.samples ?? [])] };
  const { state, ...opened } = await RunFolder.open(options.out, identity, { resume: options.resume ?? false });
  await using folder = opened.folder;
  await using loader = new DataLoader(pairs.samples, { ...config, mixture, preprocess, tokenizer, contextLength });
  const skipped = () =>
    [pairs.skipped, validation?.skipped, loader.broken, validator?.broken].flatMap((list) => list ?? []);
  const first = state?.steps ?? 0;
  await using events = options.tensorboard
    ? await EventFile.create(join(options.out, runFiles.tensorboard), first + 1)
    : undefined;
  const engine = new Remote<EngineMethods>(new URL("./engine-worker", import.meta.url));
  try {
    await startEngine(engine, config, start, state);
    const { samples } = pairs;
    const run = new Run({ config, options, folder, loader, validator, engine, events, architecture, samples, skipped });
    const result = await run.loop(first);
    if (result.finished) {
      const trained = await finalWeights(engine, architecture);
      const weights = config.lora ? mergeLora(trained, config.lora) : trained;
      if (config.lora) await saveLora(join(options.out, runFiles.lora), config.lora, trained);
      const words = start.words && { words: start.words };
      const model = {
        config: plainArchitecture(architecture),
        preprocess,
        tokenizer,
        parameters: weights,
        ...words,
        dtype: config.dtype,
      };
      await saveModel(join(options.out, runFiles.model), model);
    }
    return { ...result, skipped: await folder.writeSkipped(skipped()) };
  } finally {
    await engine.end();
  }
}

/** Without changes of low rank: what it is when they are merged. */
function plainArchitecture({ vision, text, ...rest }: ClipConfig): ClipConfig {
  return {
    ...rest,
    vision: vision.kind === "vit" ? { ...vision, lora: undefined } : vision,
    text: { ...text, lora: undefined },
  };
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
  { architecture, parameters }: Start,
  state: EngineState | undefined,
): Promise<void> {
  const options: EngineOptions = {
    ...config,
    config: architecture,
    chunkSize: config.chunkSize ?? config.batchSize,
    gradClipNorm: config.gradClipNorm,
    averageDecay: config.averageDecay,
  };
  const initial = new Map(Array.from(parameters, ([path, { data }]) => [path, data]));
  await engine.call("create", [options, initial], initial.values());
  if (state) await engine.call("restore", [state]);
}
