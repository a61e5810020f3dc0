import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { type Lock, tryLock } from "../../core/lock.ts";
import { checkOptions } from "../../core/options.ts";
import { parseStrict } from "../../core/parse.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { expectSame, type Peers } from "../../engine/distributed/group.ts";
import { mergeLora } from "../../model/pretrained/lora.ts";
import { saveLora } from "../../model/pretrained/save-lora.ts";
import { saveModel } from "../../model/pretrained/save-model.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { isOfDecoder } from "../../model/towers/caption-decoder.ts";
import { parameterSpecs } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { Remote } from "../../engine/threads/remote.ts";
import { type TrainConfig, trainConfigSchema } from "./config.ts";
import type { EngineOptions } from "./engine/engine.ts";
import type { EngineState } from "./engine/engine-state.ts";
import { finalWeights, restoreEngine } from "./engine/engine-thread.ts";
import type { EngineMethods } from "./engine/engine-worker.ts";
import { EventFile } from "./event-file.ts";
import { DataLoader } from "./batches/loader.ts";
import { Run, trainKinds, type TrainOptions, type TrainResult } from "./run.ts";
import { readRunData } from "./batches/run-data.ts";
import { fingerprintOf, RunFolder, runFiles } from "./run-folder.ts";
import { type Start, startModel } from "./initial-model.ts";
import { Validator } from "./validate.ts";

/**
 * Trains a CLIP, a new one or one that is there, on pairs of images and captions (Radford et al. 2021, section 2). The folder `out` gets
 * `metrics.jsonl` while it runs and `model/`, which `loadClip` reads, at its end. The same configuration gives the same
 * metrics to the bit, whenever the run is stopped, by whatever, and resumed.
 *
 * Processes that `mpirun` or `srun` started together train one model: each has its share of every batch, and only the first writes. If one fails
 * it says why, and all of them end.
 *
 * @example
 * ```ts
 * const config = await readTrainConfig("run.json");
 * await train(config, { out: "run", onProgress: ({ step, loss }) => console.log(step, loss) });
 * ```
 *
 * @throws {ClipError} `CLIP_DATA` if there are too few pairs or most images are broken; `CLIP_TRAIN` if the loss is no
 *   finite number any more (the last checkpoint stays, `failure.json` has the batch) or the folder holds another run;
 *   `CLIP_FILE` if the disk is full; `CLIP_GROUP` if processes that were started together cannot work together.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  config = parseStrict(trainConfigSchema, config, "the configuration of the run");
  checkOptions("train", options, trainKinds, ["out"]);
  const engine = new Remote<EngineMethods>("learning/train/engine/engine-worker");
  try {
    const place = await engine.call("join", []);
    const peers: Peers = { ...place, exchange: (text) => engine.call("exchange", [text]) };
    try {
      const result = await trainTogether(config, options, engine, peers);
      await engine.call("leave", []);
      return result;
    } catch (error) {
      const message = `clip-ts, process ${peers.rank} of ${peers.size}: ${(error as Error).message}`;
      // The others wait for this process, and would do so for ever.
      await engine.call("abort", [message]).catch(() => undefined);
      throw error;
    }
  } finally {
    await engine.end();
  }
}

/** The run, as one of the processes that make it. */
async function trainTogether(
  config: TrainConfig,
  options: TrainOptions,
  engine: Remote<EngineMethods>,
  peers: Peers,
): Promise<TrainResult> {
  checkShares(config, peers);
  const { pairs, validation } = await readRunData(config, { signal: options.signal, onProgress: options.onDownload });
  const { mixture } = pairs;
  const start = await startModel(config, pairs.samples);
  const { architecture, preprocess, tokenizer } = start;
  const { contextLength } = architecture.text;
  const isFirst = peers.rank === 0;
  const { areClasses } = validation ?? {};
  const validator =
    validation && isFirst
      ? new Validator(validation.samples, { ...config, areClasses, tokenizer, preprocess })
      : undefined;

  const loaded = { ...config, mixture, preprocess, tokenizer, contextLength, peers };
  await using loader = new DataLoader(pairs.samples, loaded);
  const vocabulary = createHash("sha256").update(JSON.stringify(tokenizer.source)).digest("hex");
  const model = { architecture, preprocess, vocabulary };
  const identity = { config, model, samples: [...pairs.samples, ...(validation?.samples ?? [])] };
  await expectSame(peers, fingerprintOf(identity), "another configuration or other data");
  await using lock = isFirst ? await lockFolder(options.out) : undefined;
  const { state, ...opened } = isFirst
    ? await RunFolder.open(options.out, identity, { resume: options.resume ?? false, lock })
    : { folder: undefined };
  await using folder = opened.folder;
  const skipped = () =>
    [pairs.skipped, validation?.skipped, loader.broken, validator?.broken].flatMap((list) => list ?? []);
  const first = Number((await peers.exchange(String(state?.steps ?? 0)))[0]);
  await using events =
    options.tensorboard && isFirst
      ? await EventFile.create(join(options.out, runFiles.tensorboard), first + 1)
      : undefined;
  await startEngine(engine, config, start, state, peers);
  if (peers.size > 1) await engine.call("startAsFirst", [first]);
  const { samples } = pairs;
  const parts = { config, options, peers, folder, loader, validator, engine, events };
  const run = new Run({ ...parts, architecture, samples, skipped });
  const result = await run.loop(first);
  if (!folder) return { ...result, skipped: skipped() };
  if (result.finished) {
    await folder.assertHeld();
    const trained = await trainedModel(engine, architecture);
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
    await folder.assertHeld();
    await saveModel(join(options.out, runFiles.model), model);
  }
  const all = await folder.writeSkipped(skipped());
  await folder.assertHeld();
  return { ...result, skipped: all };
}

const lockPatienceMs = 3_000;

/**
 * Keeps other processes from writing the same run.
 *
 * @throws {ClipError} `CLIP_TRAIN` if one does.
 */
export async function lockFolder(folder: string): Promise<Lock> {
  await makeFolder(folder);
  const path = join(folder, runFiles.lock);
  // A process that was killed a moment ago, or one of a group that ends, is not gone at once.
  for (const start = performance.now(); performance.now() - start < lockPatienceMs; await sleep(100)) {
    const lock = await tryLock(path);
    if (lock) return lock;
  }
  throw new ClipError(
    "CLIP_TRAIN",
    `another process writes the run in ${folder}; stop it first, or name another folder (if none does, remove ${path})`,
  );
}

/** Pairs encoded at once. */
function chunkSizeOf({ batchSize, chunkSize = batchSize }: TrainConfig, { size }: Peers): number {
  return Math.min(chunkSize, batchSize / size);
}

/** @throws {ClipError} `CLIP_CONFIG` if a batch cannot be shared out in equal parts, or these not in chunks. */
function checkShares(config: TrainConfig, peers: Peers): void {
  const { batchSize } = config;
  const share = batchSize / peers.size;
  if (!Number.isInteger(share))
    throw new ClipError(
      "CLIP_CONFIG",
      `batchSize is ${batchSize}, which ${peers.size} processes cannot share in equal parts; make it a multiple of that`,
    );
  const chunkSize = chunkSizeOf(config, peers);
  if (share % chunkSize !== 0)
    throw new ClipError(
      "CLIP_CONFIG",
      `each of ${peers.size} processes has ${share} pairs of a batch, and chunkSize is ${chunkSize}; it must divide that`,
    );
}

/** Without what is there in training alone: changes of low rank, which are merged then, and a decoder. */
function plainArchitecture({ vision, text, ...rest }: ClipConfig): ClipConfig {
  return {
    ...rest,
    decoder: undefined,
    vision: vision.kind === "vit" ? { ...vision, lora: undefined } : vision,
    text: { ...text, lora: undefined },
  };
}

/** The model, without what is there in training alone. */
async function trainedModel(
  engine: Remote<EngineMethods>,
  architecture: ClipConfig,
): Promise<Map<string, TensorData<"float32">>> {
  const specs = parameterSpecs(clipParameters(architecture));
  const ofModel = [...(await finalWeights(engine))].filter(([path]) => !isOfDecoder(path));
  return new Map(ofModel.map(([path, values]) => [path, float32(values, specs.get(path)!.shape)]));
}

async function startEngine(
  engine: Remote<EngineMethods>,
  config: TrainConfig,
  { architecture, parameters, preprocess }: Start,
  state: EngineState | undefined,
  peers: Peers,
): Promise<void> {
  const options: EngineOptions = {
    ...config,
    config: architecture,
    chunkSize: chunkSizeOf(config, peers),
    gradClipNorm: config.gradClipNorm,
    emaDecay: config.emaDecay,
  };
  const initial = new Map(Array.from(parameters, ([path, { data }]) => [path, data]));
  await engine.call("create", [options, initial, preprocess], initial.values());
  if (state) await restoreEngine(engine, state);
}
