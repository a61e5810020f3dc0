import { basename, join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { printable } from "../../core/printable.ts";
import { bindingAdvice, launched } from "../../engine/distributed/launch.ts";
import { counted } from "../report/numbers.ts";
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
import { locateModel, showDownload } from "./options.ts";
import { RunMetrics } from "./run-metrics.ts";
import { ShownPredictions } from "./shown-predictions.ts";
import { describeSkip, percent } from "./terminal.ts";
import { TrainWatch } from "./train-watch.ts";

/** Lines about damaged shards. */
const shownShards = 10;

/** What `clip-ts train` was asked for. */
interface TrainRequest {
  /** The run's configuration. */
  readonly file: string;
  readonly out: string;
  readonly resume: boolean;
  readonly tensorboard: boolean;
  /** Whether to show the run live, and on which port: 0 for one that is free. */
  readonly watch: number | undefined;
  readonly json: boolean;
  /** What to type to go on if it is stopped. */
  readonly again: string;
}

/** Trains, shows how far it is, and writes the report. */
export async function runTraining(request: TrainRequest, io: CliIo): Promise<void> {
  const { file, out, resume, tensorboard, json, again } = request;
  const config = await readRun(file, io);
  const advice = bindingAdvice();
  if (advice !== undefined) io.err(advice);
  // Of several processes the first alone has something to show.
  const port = launched().rank === 0 ? request.watch : undefined;
  await using watch = port === undefined ? undefined : await openWatch(config, out, port, io);
  if (resume && launched().rank === 0) await noteNewStart(out, io);
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
    const stopped = `stopped after step ${result.steps} of ${config.steps}; go on with: ${again}`;
    io.err(stopped);
    watch?.end(`It was ${stopped}`);
    return;
  }
  const report = await writeTrainReport(out, config, result);
  watch?.end(`The run has ended; what there is to know of it is in ${report}.`);
  if (json) {
    const { steps, seconds, pairsPerSecond, waitShare, communicationShare, skipped, scores, findings } = result;
    const files = { model: join(out, runFiles.model), metrics: join(out, runFiles.metrics), report };
    const rates = { pairsPerSecond, waitShare, communicationShare };
    io.out(JSON.stringify({ ...files, steps, seconds, ...rates, skipped, scores, findings }));
    return;
  }
  io.out(`model   ${join(out, runFiles.model)}`);
  io.out(`report  ${report}`);
  if (result.scores) io.out(`zero-shot  top-1 ${percent(result.scores.top1)}  top-5 ${percent(result.scores.top5)}`);
}

/** Sees whether a run's model can learn a few pairs by heart. */
export async function runOverfit(file: string, { json }: { readonly json: boolean }, io: CliIo): Promise<void> {
  const result = await overfit(await readRun(file, io), {
    signal: io.signal,
    onDownload: showDownload(io),
    onProgress: ({ learningRate, step, steps, loss }) =>
      io.progress(`learningRate ${learningRate}  step ${step}/${steps}  loss ${loss.toFixed(4)}`),
  });
  io.out(json ? JSON.stringify(result) : result.text);
  if (!result.learned)
    throw new ClipError("CLIP_TRAIN", "what cannot learn a few pairs by heart will not learn from more");
}

/** A run's configuration, with the model that it goes on from fetched if need be. */
async function readRun(file: string, io: CliIo): Promise<TrainConfig> {
  const config = await readTrainConfig(file);
  return config.init === undefined ? config : { ...config, init: await locateModel(config.init, io, {}) };
}

/** Says what becomes of a run that is told to stop: its end does not wait for a step that takes long. */
export function announceStop(io: CliIo): void {
  const text =
    "stopping after this step, with a checkpoint; if that takes longer than a second, the last checkpoint stays";
  io.signal.addEventListener("abort", () => io.err(text), { once: true });
}

/** Says so if there is nothing to resume: a job that is always started with `--resume` starts so, but a name may be mistyped too. */
export async function noteNewStart(out: string, io: CliIo): Promise<void> {
  if (!(await exists(join(out, runFiles.checkpoint)))) io.err(`no checkpoint in ${out}: starting from step 0`);
}

/** Says what was left out: what each damaged shard costs, and images by the reason. */
export function reportSkipped(skipped: readonly SkippedImage[], whereListed: string, io: Pick<CliIo, "err">): void {
  const shards = skipped.filter(({ image }) => isShardName(image));
  for (const shard of shards.slice(0, shownShards)) io.err(describeSkip(shard));
  if (shards.length > shownShards) io.err(`and ${counted(shards.length - shownShards, "more shard")}`);
  const images = skipped.filter(({ image }) => !isShardName(image));
  if (images.length === 0) return;
  io.err(`${counted(images.length, "image")} ${images.length === 1 ? "was" : "were"} left out${whereListed}`);
  for (const { reason, count } of countReasons(images)) io.err(`  ${count} × ${printable(reason)}`);
}

/** Shows how far a run is. */
export const showStep =
  (io: CliIo) =>
  (progress: TrainProgress): void =>
    io.progress(progressLine(progress));

function progressLine({
  step,
  steps,
  loss,
  learningRate,
  pairsPerSecond,
  secondsLeft,
  waitShare,
  communicationShare,
  validation,
}: TrainProgress): string {
  const scores = validation ? `  top-1 ${percent(validation.top1)}` : "";
  const talk = communicationShare > 0 ? `  communicating ${percent(communicationShare)}` : "";
  const left = secondsLeft === undefined ? "" : `  ${clock(secondsLeft)} left`;
  const speed = `${pairsPerSecond.toFixed(0)} pairs/s  waiting ${percent(waitShare)}${talk}${left}`;
  return `step ${step}/${steps}  loss ${loss.toFixed(4)}  rate ${learningRate.toExponential(2)}  ${speed}${scores}`;
}

/** Writes the page of a finished run into its folder; returns its path. */
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
    predictions: await new ShownPredictions().choose(result.predictions, Math.exp(metrics.at(-1)!.logitScale)),
  });
  const report = join(out, runFiles.report);
  await writeFileAtomic(report, [page]);
  return report;
}

/** The settings worth reading. */
function settingsOf({
  train,
  steps,
  batchSize,
  learningRate,
  warmupSteps,
  weightDecay,
  seed,
}: TrainConfig): TrainReport["config"] {
  return { data: describeSources(train), steps, batchSize, learningRate, warmupSteps, weightDecay, seed };
}

/** Shows the run live. */
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

/** h:mm:ss */
function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const padded = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  return [Math.floor(whole / 3600), ...padded].join(":");
}
