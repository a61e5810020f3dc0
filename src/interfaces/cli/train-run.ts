import { basename, join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { printable } from "../../core/printable.ts";
import { bindingAdvice, launched } from "../../engine/distributed/launch.ts";
import { counted, duration } from "../report/numbers.ts";
import { trainPage, type TrainReport } from "../report/train-page.ts";
import { countReasons } from "../../inputs/data/sources/samples.ts";
import { type Finding } from "../../learning/train/doctor.ts";
import { isShardName } from "../../inputs/data/sources/shards.ts";
import { overfit } from "../../learning/train/overfit.ts";
import { readTrainConfig, type TrainConfig } from "../../learning/train/config.ts";
import { runFiles } from "../../learning/train/run-folder.ts";
import { type SkippedImage } from "../../inputs/data/image-files.ts";
import { train } from "../../learning/train/train.ts";
import { type TrainProgress, type TrainResult, type TrainValidation } from "../../learning/train/train-options.ts";
import type { CliIo } from "./io.ts";
import { locateModel, showDownload } from "./model-options.ts";
import { describeSkip, printJson } from "./output.ts";
import { RunMetrics } from "./run-metrics.ts";
import { ShownPredictions } from "./shown-predictions.ts";
import { percentCell } from "./terminal.ts";
import { TrainWatch } from "./train-watch.ts";

const shownShards = 10;

interface TrainRequest {
  readonly file: string;
  readonly out: string;
  readonly resume?: boolean | undefined;
  readonly tensorboard?: boolean | undefined;
  /** The port of the live page, 0 for a free one; undefined for no page. */
  readonly port: number | undefined;
  readonly offline?: boolean | undefined;
  readonly json?: boolean | undefined;
  /** The command that continues the run. */
  readonly resumeLine: string;
}

export async function runTraining(request: TrainRequest, io: CliIo): Promise<void> {
  const { file, out, resume = false, tensorboard = false, json, resumeLine } = request;
  const config = await readRun(file, request, io);
  const advice = bindingAdvice();
  if (advice !== undefined) io.err(advice);
  const isFirst = launched().rank === 0;
  const port = isFirst ? request.port : undefined;
  await using watch = port === undefined ? undefined : await openWatch(config, out, port, io);
  if (resume && isFirst) await reportNewStart(out, io);
  announceStop(io);
  const showProgress = showStep(io);
  const listeners = {
    signal: io.signal,
    onProgress: (progress: TrainProgress) => {
      showProgress(progress);
      watch?.onProgress(progress);
    },
    onFinding: (finding: Finding) => {
      io.err(`doctor, step ${finding.step}: ${finding.text}`);
      watch?.onFinding(finding);
    },
    onValidation: (validation: TrainValidation) => watch?.onValidation(validation),
    onDownload: showDownload(io),
  };
  const result = await train(config, { out, resume, tensorboard, ...listeners }).catch((error: Error) => {
    watch?.end(`The run failed: ${error.message}`);
    throw error;
  });
  if (result.rank > 0) return;
  reportSkipped(result.skipped, `; see ${join(out, runFiles.skipped)}`, io);
  if (!result.finished) {
    const stopped = `stopped after step ${result.steps} of ${config.steps}; continue with: ${resumeLine}`;
    io.err(stopped);
    watch?.end(`The run was ${stopped}`);
    return;
  }
  const report = await writeTrainReport(out, config, result);
  watch?.end(`The run has ended. Its report is ${report}.`);
  const model = join(out, runFiles.model);
  if (json) {
    const { steps, seconds, pairsPerSecond, waitShare, communicationShare, skipped, scores, findings } = result;
    const files = { model, metrics: join(out, runFiles.metrics), report };
    const results = { ...files, steps, seconds, pairsPerSecond, waitShare, communicationShare, scores, findings };
    return printJson({ model: config.init, data: file, results, skipped }, io);
  }
  io.out(`model   ${model}`);
  io.out(`report  ${report}`);
  if (result.scores)
    io.out(`zero-shot  top-1 ${percentCell(result.scores.top1)}  top-5 ${percentCell(result.scores.top5)}`);
}

/** Tests whether a run's model can memorize a few pairs. */
export async function runOverfit(
  file: string,
  options: { readonly offline?: boolean | undefined; readonly json?: boolean | undefined },
  io: CliIo,
): Promise<void> {
  const config = await readRun(file, options, io);
  const results = await overfit(config, {
    signal: io.signal,
    onDownload: showDownload(io),
    onProgress: ({ learningRate, step, steps, loss }) =>
      io.progress(`learning rate ${learningRate}  step ${step}/${steps}  loss ${loss.toFixed(4)}`),
  });
  if (options.json) printJson({ model: config.init, data: file, results }, io);
  else io.out(results.text);
  if (!results.learned) throw new ClipError("CLIP_TRAIN", "a model that cannot memorize a few pairs cannot learn more");
}

/** A run's configuration; its initial model is downloaded if needed. */
async function readRun(
  file: string,
  options: { readonly offline?: boolean | undefined },
  io: CliIo,
): Promise<TrainConfig> {
  const config = await readTrainConfig(file);
  return config.init === undefined ? config : { ...config, init: await locateModel(config.init, options, io) };
}

/** Announces the end of a run that is told to stop: it does not wait for a long step. */
export function announceStop(io: CliIo): void {
  const text = "stopping after this step, with a checkpoint; after one second without it, the last checkpoint stays";
  io.signal.addEventListener("abort", () => io.err(text), { once: true });
}

/** Reports that there is nothing to resume: jobs may always use `--resume`, but a name may also be mistyped. */
export async function reportNewStart(out: string, io: CliIo): Promise<void> {
  if (!(await exists(join(out, runFiles.checkpoint)))) io.err(`no checkpoint in ${out}: starting from step 0`);
}

/** Reports damaged shards one by one, and skipped images by reason. */
export function reportSkipped(skipped: readonly SkippedImage[], whereListed: string, io: Pick<CliIo, "err">): void {
  const shards = skipped.filter(({ image }) => isShardName(image));
  for (const shard of shards.slice(0, shownShards)) io.err(describeSkip(shard));
  if (shards.length > shownShards) io.err(`and ${counted(shards.length - shownShards, "more shard")}`);
  const images = skipped.filter(({ image }) => !isShardName(image));
  if (images.length === 0) return;
  io.err(`${counted(images.length, "image")} skipped${whereListed}`);
  for (const { reason, count } of countReasons(images)) io.err(`  ${count} × ${printable(reason)}`);
}

export const showStep =
  (io: CliIo) =>
  ({ step, steps, loss, ...progress }: TrainProgress): void => {
    const { learningRate, pairsPerSecond, secondsLeft, waitShare, communicationShare, validation } = progress;
    const communicating = communicationShare > 0 ? `  communicating ${percentCell(communicationShare)}` : "";
    const left = secondsLeft === undefined ? "" : `  ${duration(secondsLeft)} left`;
    const scores = validation ? `  top-1 ${percentCell(validation.top1)}` : "";
    const training = `step ${step}/${steps}  loss ${loss.toFixed(4)}  learning rate ${learningRate.toExponential(2)}`;
    const speed = `${pairsPerSecond.toFixed(0)} pairs/s  waiting ${percentCell(waitShare)}`;
    io.progress(`${training}  ${speed}${communicating}${left}${scores}`);
  };

/** Writes the page of a finished run into its folder, and returns its path. */
export async function writeTrainReport(out: string, config: TrainConfig, result: TrainResult): Promise<string> {
  const { metrics, validation } = await new RunMetrics(join(out, runFiles.metrics)).read();
  const { batchSize } = config;
  const page = trainPage({
    model: basename(out),
    batchSize,
    config: settingsOf(config),
    totals: {
      steps: result.steps,
      pairs: result.steps * batchSize,
      durationSeconds: result.seconds,
      waitingShare: result.waitShare,
      skipped: result.skipped.map(({ image, reason }) => ({ path: image, reason })),
    },
    metrics,
    validation,
    findings: result.findings,
    predictions: await new ShownPredictions().choose(result.predictions, metrics.at(-1)!.logitScale),
  });
  const report = join(out, runFiles.report);
  await writeFileAtomic(report, [page]);
  return report;
}

function settingsOf({ train, ...config }: TrainConfig): TrainReport["config"] {
  const { steps, batchSize, learningRate, warmupSteps, weightDecay, seed } = config;
  return { data: describeSources(train), steps, batchSize, learningRate, warmupSteps, weightDecay, seed };
}

function openWatch(config: TrainConfig, out: string, port: number, io: CliIo): Promise<TrainWatch> {
  const hasValidation = (config.validation ?? config.validationShare) !== undefined;
  const { batchSize } = config;
  const hasDecoder = (config.objective?.decoderWeight ?? 0) > 0;
  const run = { model: basename(out), batchSize, config: settingsOf(config), hasValidation, hasDecoder };
  return TrainWatch.open(run, out, port, io);
}

function describeSources(train: TrainConfig["train"]): string {
  if (typeof train === "string") return train;
  return train.map(({ source, weight = 1 }) => (weight === 1 ? source : `${weight} × ${source}`)).join(", ");
}
