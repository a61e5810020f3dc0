import { createHash } from "node:crypto";
import { join } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { checkOptions } from "../../core/options.ts";
import { parseStrict } from "../../core/parse.ts";
import { pick } from "../../core/pick.ts";
import { float32 } from "../../core/tensor-data.ts";
import { expectSame, type Processes } from "../../engine/distributed/group.ts";
import { Remote } from "../../engine/threads/remote.ts";
import { parameterSpecs } from "../../model/nn/parameters.ts";
import { mergeLora } from "../../model/pretrained/lora.ts";
import { saveLora } from "../../model/pretrained/save-lora.ts";
import { saveModel } from "../../model/pretrained/save-model.ts";
import { isDecoderPath } from "../../model/towers/caption-decoder.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { DataLoader } from "./batches/loader.ts";
import { readRunData, type RunData } from "./batches/run-data.ts";
import { type TrainConfig, trainConfigSchema } from "./config.ts";
import { EventFile } from "./event-file.ts";
import { type Start, startModel } from "./initial-model.ts";
import { lockFolder } from "./lock-folder.ts";
import { Run } from "./run.ts";
import { recordOf, RunFolder, runFiles, type RunIdentity } from "./run-folder.ts";
import { finalWeights, restoreTrainer } from "./step/trainer-thread.ts";
import type { TrainerOptions } from "./step/trainer.ts";
import type { TrainerMethods } from "./step/trainer-worker.ts";
import { trainKinds, type TrainOptions, type TrainResult } from "./train-options.ts";
import { Validator } from "./validate.ts";

/**
 * Trains a CLIP, from scratch or from a model, on pairs of images and captions (Radford et al. 2021, section 2). The folder `out`
 * gets `metrics.jsonl` during the run and `model/`, for `loadClip`, at its end. Equal configurations give equal metrics to the
 * bit, however often a run is stopped and resumed.
 *
 * Processes started together by `mpirun` or `srun` train one model: each has its share of every batch, and only rank 0 writes. If
 * one fails, all end with its message.
 *
 * @example
 * ```ts
 * const config = await readTrainConfig("run.json");
 * await train(config, { out: "run", onProgress: ({ step, loss }) => console.log(step, loss) });
 * ```
 *
 * @throws {ClipError} `CLIP_DATA` if there are too few pairs or most images are broken; `CLIP_TRAIN` if the loss is not finite
 *   (the last checkpoint stays, `failure.json` has the batch) or the folder holds another run; `CLIP_FILE` if the disk is full;
 *   `CLIP_GROUP` if the processes cannot work together.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  config = parseStrict(trainConfigSchema, config, "the configuration of the run");
  checkOptions("train", options, trainKinds, ["out"]);
  const trainer = new Remote<TrainerMethods>("learning/train/step/trainer-worker");
  try {
    const place = await trainer.call("join", []);
    const processes = { ...place, exchange: (text: string) => trainer.call("exchange", [text]) };
    try {
      const result = await trainTogether(config, options, trainer, processes);
      await trainer.call("leave", []);
      return result;
    } catch (error) {
      const message = `clip-ts, process ${processes.rank} of ${processes.size}: ${(error as Error).message}`;
      // The other processes would wait for this one forever.
      await trainer.call("abort", [message]).catch(() => undefined);
      throw error;
    }
  } finally {
    await trainer.end();
  }
}

/** The run of one of the processes that train together. */
async function trainTogether(
  config: TrainConfig,
  options: TrainOptions,
  trainer: Remote<TrainerMethods>,
  processes: Processes,
): Promise<TrainResult> {
  checkShares(config, processes);
  const { out, resume = false } = options;
  const isFirst = processes.rank === 0;
  await using lock = isFirst ? await lockFolder(out) : undefined;

  const data = await readRunData(config, { signal: options.signal, onProgress: options.onDownload });
  const { samples } = data.pairs;
  const start = await startModel(config, samples);
  const validator = isFirst && data.validation ? makeValidator(config, data.validation, start) : undefined;
  await using loader = makeLoader(config, data, start, processes);
  const identity = identityOf(config, data, start);
  await expectSame(processes, JSON.stringify(recordOf(identity)), "another configuration or other data");

  await using folder = isFirst ? await RunFolder.open(out, identity, { resume, lock }) : undefined;
  const first = Number((await processes.exchange(String(folder?.saved?.steps ?? 0)))[0]);
  await using events =
    options.tensorboard && isFirst ? await EventFile.create(join(out, runFiles.tensorboard), first + 1) : undefined;
  await startTrainer(trainer, config, start, folder, processes, first);

  const skipped = () =>
    [data.pairs.skipped, data.validation?.skipped, loader.broken, validator?.broken].flatMap((list) => list ?? []);
  const { architecture } = start;
  const parts = { config, options, processes, trainer, architecture, samples, loader, validator, folder, events };
  const result = await new Run({ ...parts, skipped }).loop(first);
  if (!folder) return { ...result, skipped: skipped() };
  if (result.finished) await saveTrained(trainer, config, start, folder);
  const allSkipped = await folder.writeSkipped(skipped());
  await folder.assertHeld();
  return { ...result, skipped: allSkipped };
}

/** @throws {ClipError} `CLIP_CONFIG` if a batch does not divide into equal shares, or these into chunks. */
function checkShares({ batchSize, chunkSize = batchSize }: TrainConfig, { size }: Processes): void {
  const share = batchSize / size;
  if (!Number.isInteger(share))
    throw new ClipError(
      "CLIP_CONFIG",
      `batchSize is ${batchSize}, which ${size} processes cannot share equally; make it a multiple of ${size}`,
    );
  if (share % Math.min(chunkSize, share) !== 0)
    throw new ClipError(
      "CLIP_CONFIG",
      `each of ${size} processes has ${share} pairs of a batch, and chunkSize is ${chunkSize}; it must divide ${share}`,
    );
}

function makeValidator(
  { templates, maxImagePixels }: TrainConfig,
  { samples, areClasses }: NonNullable<RunData["validation"]>,
  { tokenizer, preprocess }: Start,
): Validator {
  return new Validator(samples, { templates, maxImagePixels, areClasses, tokenizer, preprocess });
}

function makeLoader(config: TrainConfig, { pairs }: RunData, start: Start, processes: Processes): DataLoader {
  return new DataLoader(pairs.samples, {
    ...pick(config, ["batchSize", "seed", "shuffleBuffer", "augment", "objective", "workers", "maxImagePixels"]),
    ...pick(start, ["tokenizer", "preprocess"]),
    contextLength: start.architecture.text.contextLength,
    mixture: pairs.mixture,
    processes,
  });
}

function identityOf(config: TrainConfig, { pairs, validation }: RunData, start: Start): RunIdentity {
  const { architecture, preprocess, tokenizer } = start;
  const vocabulary = createHash("sha256").update(JSON.stringify(tokenizer.source)).digest("hex");
  const samples = [...pairs.samples, ...(validation?.samples ?? [])];
  return { config, model: { architecture, preprocess, vocabulary }, samples };
}

/** Gives the trainer its initial or saved state; several processes all get the state of rank 0. */
async function startTrainer(
  trainer: Remote<TrainerMethods>,
  config: TrainConfig,
  { architecture, parameters, preprocess }: Start,
  folder: RunFolder | undefined,
  { size }: Processes,
  first: number,
): Promise<void> {
  const { batchSize, chunkSize = batchSize } = config;
  const options: TrainerOptions = { ...config, config: architecture, chunkSize: Math.min(chunkSize, batchSize / size) };
  const initial = new Map(Array.from(parameters, ([path, { data }]) => [path, data]));
  await trainer.call("create", [options, initial, preprocess], initial.values());
  if (folder?.saved) await restoreTrainer(trainer, folder.saved);
  if (size > 1) await trainer.call("copyFromFirst", [first]);
}

/** Writes `model/`, with merged LoRA and without the decoder; also `lora/` if the run has LoRA. */
async function saveTrained(
  trainer: Remote<TrainerMethods>,
  { lora, dtype }: TrainConfig,
  { architecture, preprocess, tokenizer, words }: Start,
  folder: RunFolder,
): Promise<void> {
  await folder.assertHeld();
  const specs = parameterSpecs(clipParameters(architecture));
  const weights = [...(await finalWeights(trainer))].filter(([path]) => !isDecoderPath(path));
  const parameters = new Map(weights.map(([path, values]) => [path, float32(values, specs.get(path)!.shape)]));
  if (lora) await saveLora(join(folder.path, runFiles.lora), lora, parameters);
  const model = {
    ...{ config: withoutTrainingParts(architecture), preprocess, tokenizer, dtype },
    parameters: lora ? mergeLora(parameters, lora) : parameters,
    ...(words && { words }),
  };
  await folder.assertHeld();
  await saveModel(join(folder.path, runFiles.model), model);
}

function withoutTrainingParts({ vision, text, ...rest }: ClipConfig): ClipConfig {
  return {
    ...rest,
    decoder: undefined,
    vision: vision.kind === "vit" ? { ...vision, lora: undefined } : vision,
    text: { ...text, lora: undefined },
  };
}
