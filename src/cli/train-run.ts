import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { bindingAdvice } from "../distributed/index.ts";
import { type TrainMetric, trainPage, type ValidationResult } from "../report/index.ts";
import {
  countReasons,
  type Finding,
  type MetricsLine,
  type Prediction,
  readPicture,
  readTrainConfig,
  runFiles,
  train,
  type TrainConfig,
  type TrainProgress,
  type TrainResult,
} from "../train/index.ts";
import type { CliIo } from "./io.ts";
import { showDownload } from "./options.ts";
import { percent, printable } from "./terminal.ts";
import { thumbnail } from "./thumbnail.ts";

/** Validation pictures on the report's page, and the longer side of each in pixels. */
const shownPictures = 24;
const shownSize = 192;
/** Where nobody watches a terminal, a line every so often is enough. */
const lineEverySeconds = 30;

/** What `clip-ts train` was asked for. */
interface TrainRequest {
  /** The run's configuration. */
  readonly file: string;
  readonly out: string;
  readonly resume: boolean;
  readonly tensorboard: boolean;
  readonly json: boolean;
}

/** Trains, shows how far it is, and writes the report. */
export async function runTraining({ file, out, resume, tensorboard, json }: TrainRequest, io: CliIo): Promise<void> {
  const config = await readTrainConfig(file);
  const advice = bindingAdvice();
  if (advice !== undefined) io.err(advice);
  const onProgress = progressLines(io);
  const onFinding = ({ step, text }: Finding) => io.err(`doctor, step ${step}: ${text}`);
  const onDownload = showDownload(io);
  const listeners = { signal: io.signal, onProgress, onFinding, onDownload };
  const result = await train(config, { out, resume, tensorboard, ...listeners });
  if (result.rank > 0) return;
  if (result.skipped.length > 0) {
    io.err(`${result.skipped.length} were left out; see ${join(out, runFiles.skipped)}`);
    for (const { reason, count } of countReasons(result.skipped)) io.err(`  ${count} × ${printable(reason)}`);
  }
  if (!result.finished) {
    io.err(`stopped after step ${result.steps} of ${config.steps}; go on with --out ${out} --resume`);
    return;
  }
  const report = join(out, runFiles.report);
  await writeFileAtomic(report, [await trainReport(basename(out), config, out, result)]);
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

/** The line of the moment: replaced in a terminal, written now and then elsewhere. */
function progressLines(io: CliIo): (progress: TrainProgress) => void {
  let written = performance.now();
  return (progress) => {
    const line = progressLine(progress);
    io.progress(line);
    const now = performance.now();
    if (io.columns !== undefined || now - written < lineEverySeconds * 1000) return;
    written = now;
    io.err(line);
  };
}

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
  const speed = `${pairsPerSecond.toFixed(0)} pairs/s  waiting ${percent(waitShare)}${talk}  ${clock(secondsLeft)} left`;
  return `step ${step}/${steps}  loss ${loss.toFixed(4)}  rate ${learningRate.toExponential(2)}  ${speed}${scores}`;
}

async function trainReport(model: string, config: TrainConfig, out: string, result: TrainResult): Promise<string> {
  const lines = (await readFile(join(out, runFiles.metrics), "utf8")).split("\n").filter((line) => line !== "");
  const metrics: TrainMetric[] = [];
  const validation: ValidationResult[] = [];
  for (const line of lines.map((text) => JSON.parse(text) as MetricsLine)) {
    if ("validation" in line) validation.push({ step: line.step, ...line.validation });
    else metrics.push(line);
  }
  const { batchSize, learningRate, warmupSteps, weightDecay, seed } = config;
  return trainPage({
    model,
    batchSize,
    config: {
      data: describeSources(config.train),
      steps: config.steps,
      batchSize,
      learningRate,
      warmupSteps,
      weightDecay,
      seed,
    },
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
    predictions: await shownPredictions(result.predictions, Math.exp(metrics.at(-1)!.logitScale)),
  });
}

/** Some predictions, evenly over the set, with probabilities among the labels shown. */
async function shownPredictions(predictions: readonly Prediction[], scale: number) {
  const every = Math.max(1, predictions.length / shownPictures);
  const chosen = predictions.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
  return Promise.all(
    chosen.slice(0, shownPictures).map(async ({ truth, ranked, ...picture }) => {
      const weights = ranked.map(({ similarity }) => Math.exp(scale * (similarity - ranked[0]!.similarity)));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const probable = ranked.map(({ label }, i) => ({ label, probability: weights[i]! / total }));
      return { picture: await thumbnail(await readPicture(picture), shownSize), truth, ranked: probable };
    }),
  );
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
