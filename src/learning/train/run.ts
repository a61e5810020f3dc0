import { join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { pick } from "../../core/pick.ts";
import { expectSame, type Processes } from "../../engine/distributed/group.ts";
import type { Remote } from "../../engine/threads/remote.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import type { DataLoader, TrainingBatch } from "./batches/loader.ts";
import { areOfClasses } from "./batches/run-data.ts";
import type { TrainConfig } from "./config.ts";
import { Doctor, type Finding, shareRepeated } from "./doctor.ts";
import type { EventFile } from "./event-file.ts";
import { Pace } from "./pace.ts";
import { type RunFolder, runFiles } from "./run-folder.ts";
import { scheduledLearningRate } from "./schedule.ts";
import { chanceLoss, maxLogitScale } from "./step/losses.ts";
import type { StepResult } from "./step/trainer.ts";
import { stateOf } from "./step/trainer-thread.ts";
import type { TrainerMethods } from "./step/trainer-worker.ts";
import type { TrainOptions, TrainResult } from "./train-options.ts";
import type { Validation, Validator } from "./validate.ts";

export interface RunParts {
  readonly config: TrainConfig;
  readonly options: TrainOptions;
  readonly processes: Processes;
  readonly trainer: Remote<TrainerMethods>;
  readonly architecture: ClipConfig;
  readonly samples: readonly Sample[];
  readonly loader: DataLoader;
  /** These three only in the first process: the others neither validate nor write. */
  readonly validator: Validator | undefined;
  readonly folder: RunFolder | undefined;
  readonly events: EventFile | undefined;
  /** All images skipped so far. */
  readonly skipped: () => readonly SkippedImage[];
}

/** A run from its start or checkpoint until it ends or is stopped. */
export class Run {
  readonly #parts: RunParts;
  readonly #doctor: Doctor;
  readonly #findings: Finding[] = [];
  readonly #pace: Pace;
  #validation: Validation | undefined;
  /** The step of the last checkpoint, 0 without one. */
  #saved = 0;

  constructor(parts: RunParts) {
    const { config, architecture } = parts;
    this.#parts = parts;
    this.#pace = new Pace(config.batchSize);
    this.#doctor = new Doctor({
      chanceLoss: chanceLoss(architecture, config.batchSize),
      warmupSteps: config.warmupSteps,
      maxLogitScale: architecture.score === "sigmoid" ? Infinity : maxLogitScale,
      areClasses: areOfClasses(config.train, config),
    });
  }

  /** @param first - updates already made. */
  async loop(first: number): Promise<Omit<TrainResult, "skipped">> {
    const { config, loader, processes } = this.#parts;
    let step = first;
    this.#saved = first;
    for await (const batch of loader.batches({ fromStep: first, toStep: config.steps })) {
      if (await this.#isStopped()) break;
      await this.#step(batch);
      step = batch.step + 1;
      if (isDue(step, config.validateEvery, config.steps)) await this.#validate(step);
      if (isDue(step, config.saveEvery, config.steps)) await this.#save(step);
    }
    if (this.#saved < step) await this.#save(step);
    const finished = step === config.steps;
    if (finished) this.#report(this.#doctor.end());
    // A run that was killed after its last checkpoint has no scores yet.
    if (finished && first === step) await this.#score();
    return {
      ...{ finished, steps: step, seconds: this.#pace.seconds, ...this.#pace.rates() },
      rank: processes.rank,
      scores: this.#validation?.scores,
      predictions: this.#validation?.predictions ?? [],
      findings: this.#findings,
    };
  }

  /** All processes stop after the same step. */
  async #isStopped(): Promise<boolean> {
    const { options, processes } = this.#parts;
    return (await processes.exchange(options.signal?.aborted ? "stop" : "")).includes("stop");
  }

  async #step(batch: TrainingBatch): Promise<void> {
    const { config, folder, loader, trainer } = this.#parts;
    const repeatedCaptions = shareRepeated(batch.captionGroup);
    const schedule = pick(config, ["learningRate", "warmupSteps", "steps", "schedule", "cooldownSteps"]);
    const learningRate = scheduledLearningRate(batch.step, schedule);
    const { step: index, samples, captions, ...pairs } = batch;
    const synthetic = Object.values(pairs.synthetic ?? {}) as Int32Array[];
    const arrays = [pairs.pixels, pairs.inputIds, pairs.endOfText, pairs.captionGroup, ...synthetic];
    const result = await trainer.call("step", [pairs, learningRate], arrays);
    if (!Number.isFinite(result.loss) || !Number.isFinite(result.gradientNorm))
      await this.#fail({ step: index, samples, captions }, result);
    const waitShare = this.#pace.endStep(loader.stats.waitSeconds, result.communicationSeconds);
    if (!folder) return;
    await this.#record(index, learningRate, result);
    this.#report(this.#doctor.observe({ ...observed(index + 1, result), repeatedCaptions, waitShare }));
    this.#reportProgress(index, learningRate, result.loss);
  }

  async #record(index: number, learningRate: number, result: StepResult): Promise<void> {
    const { folder, events, loader } = this.#parts;
    const { loss, contrastiveLoss, captionLoss, gradientNorm, logitScale } = result;
    const parts = contrastiveLoss !== undefined && captionLoss !== undefined && { contrastiveLoss, captionLoss };
    const metrics = { loss, ...parts, learningRate, gradientNorm, logitScale };
    await folder!.writeMetrics({ step: index + 1, epoch: Math.floor(index / loader.stepsPerEpoch), ...metrics });
    await events?.write(index + 1, metrics);
  }

  #reportProgress(index: number, learningRate: number, loss: number): void {
    const { config, options, loader } = this.#parts;
    options.onProgress?.({
      ...{ step: index + 1, steps: config.steps, epoch: Math.floor(index / loader.stepsPerEpoch) },
      ...{ loss, learningRate, ...this.#pace.rates() },
      secondsLeft: this.#pace.secondsFor(config.steps - index - 1),
      validation: this.#validation?.scores,
    });
  }

  async #validate(step: number): Promise<void> {
    await this.#score();
    if (!this.#validation) return;
    const { folder, events, options } = this.#parts;
    const { scores, predictions } = this.#validation;
    await folder?.writeMetrics({ step, validation: scores });
    await events?.write(step, { "validation/top1": scores.top1, "validation/top5": scores.top5 });
    options.onValidation?.({ step, scores, predictions });
  }

  async #score(): Promise<void> {
    const { validator, trainer, architecture } = this.#parts;
    this.#validation = await validator?.validate({
      embedDim: architecture.embedDim,
      contextLength: architecture.text.contextLength,
      encodeImages: (pixelValues) => trainer.call("encodeImages", [pixelValues], [pixelValues]),
      encodeTexts: (inputIds, endOfText) => trainer.call("encodeTexts", [inputIds, endOfText]),
    });
  }

  #report(findings: readonly Finding[]): void {
    this.#findings.push(...findings);
    for (const finding of findings) this.#parts.options.onFinding?.(finding);
  }

  async #save(step: number): Promise<void> {
    const { trainer, folder, processes, skipped } = this.#parts;
    if (processes.size > 1) await expectSame(processes, await trainer.call("checksum", []), "other parameters");
    if (folder) {
      await folder.writeSkipped(skipped());
      await folder.saveCheckpoint(await stateOf(trainer));
    }
    this.#saved = step;
  }

  /** Ends a run whose loss or gradient norm is not finite: keeps the last checkpoint and writes the pairs of the step. */
  async #fail(
    { step, samples: indices, captions }: Pick<TrainingBatch, "step" | "samples" | "captions">,
    { loss, gradientNorm }: StepResult,
  ): Promise<never> {
    const { samples, folder, processes } = this.#parts;
    const own = captions.map((caption, i) => ({ image: samples[indices[i]!]!.image, caption }));
    const inputs = (await processes.exchange(JSON.stringify(own))).flatMap((text) => JSON.parse(text) as typeof own);
    // The other processes wait here until the first one ends them.
    while (!folder) await processes.exchange("");
    await folder.assertHeld();
    const path = join(folder.path, runFiles.failure);
    // As strings: JSON has no NaN.
    const failure = { step: step + 1, loss: String(loss), gradientNorm: String(gradientNorm), inputs };
    await writeFileAtomic(path, [`${JSON.stringify(failure, null, 2)}\n`]);
    const what = Number.isFinite(loss) ? `the gradient norm is ${gradientNorm}` : `the loss is ${loss}`;
    const kept = this.#saved > 0 ? `the checkpoint of step ${this.#saved} is unchanged` : "there is no checkpoint yet";
    throw new ClipError(
      "CLIP_TRAIN",
      `${what} at step ${step + 1}; the weights were not updated, and ${kept}. The pairs of this step are in ${path}. ` +
        "Lower learningRate, lengthen warmupSteps or set gradClipNorm, and start a new run",
    );
  }
}

const isDue = (step: number, every: number, last: number) => step % every === 0 || step === last;

/** The doctor's view of a step: a decoder's loss says nothing about how well pairs are told apart. */
function observed(step: number, result: StepResult) {
  const loss = result.contrastiveLoss ?? result.loss;
  return { step, loss, ...pick(result, ["gradientNorm", "logitScale", "imageSpread", "textSpread"]) };
}
