import { join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { abortSignal, callback, flag, type OptionKinds, text } from "../../core/options.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import { expectSame, type Processes } from "../../engine/distributed/group.ts";
import type { Remote } from "../../engine/threads/remote.ts";
import type { TrainConfig } from "./config.ts";
import { Doctor, type Finding, type Observation, shareRepeated } from "./doctor.ts";
import type { EventFile } from "./event-file.ts";
import { stateOf } from "./step/trainer-thread.ts";
import type { TrainerMethods } from "./step/trainer-worker.ts";
import type { DataLoader, TrainingBatch } from "./batches/loader.ts";
import { chanceLoss, maxLogitScale } from "./step/losses.ts";
import type { Sample, SkippedImage } from "../../inputs/data/sources/samples.ts";
import { type RunFolder, runFiles, type ValidationScores } from "./run-folder.ts";
import { areOfClasses } from "./batches/run-data.ts";
import { scheduledLearningRate } from "./schedule.ts";
import type { Prediction, Validator } from "./validate.ts";

/** How far a run is, after each step. */
export interface TrainProgress {
  /** Updates made, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly pairsPerSecond: number;
  /** By the steps after the first, most of which is compilation; undefined after the first. */
  readonly secondsLeft: number | undefined;
  /** Share of the time in which the step waited for data, in [0, 1]. */
  readonly waitShare: number;
  /** Share of the time spent with the other processes of a group, or waiting for them; 0 if there are none. */
  readonly communicationShare: number;
  /** Scores of the last validation, if there was one. */
  readonly validation: ValidationScores | undefined;
}

/** What a validation during a run says. */
export interface TrainValidation {
  /** Updates made before it. */
  readonly step: number;
  readonly scores: ValidationScores;
  /** One for each image that can be read, in the order of the source. */
  readonly predictions: readonly Prediction[];
}

/** Where a run writes, and who listens. */
export interface TrainOptions {
  /** The run's folder: configuration, metrics, checkpoint, and in the end the model. */
  readonly out: string;
  /** Go on from the folder's checkpoint, if it has one. */
  readonly resume?: boolean;
  /** Stops the run after the step at hand, with a checkpoint; before its first step it is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** Is told the scores and answers of each validation. */
  readonly onValidation?: (validation: TrainValidation) => void;
  /** Is told what seems to be wrong with the run, and what to try. */
  readonly onFinding?: (finding: Finding) => void;
  /** Also write the curves as TensorBoard reads them, into the folder's `tensorboard/`. */
  readonly tensorboard?: boolean;
  /** Told how far a shard is that is fetched before the run starts. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

export const trainKinds: OptionKinds<TrainOptions> = {
  ...{ out: text, resume: flag, signal: abortSignal, tensorboard: flag },
  ...{ onProgress: callback, onValidation: callback, onFinding: callback, onDownload: callback },
};

/** What a run leaves. */
export interface TrainResult {
  /** False if `signal` stopped it before its last step. */
  readonly finished: boolean;
  /** Updates made. */
  readonly steps: number;
  /** Seconds of this run, since it was started or resumed. */
  readonly seconds: number;
  readonly pairsPerSecond: number;
  readonly waitShare: number;
  /** As in {@link TrainProgress}. */
  readonly communicationShare: number;
  /** Among the processes that trained together, from 0: only the first writes, reports and scores. */
  readonly rank: number;
  readonly skipped: readonly SkippedImage[];
  /** Of the last validation. */
  readonly scores: ValidationScores | undefined;
  readonly predictions: readonly Prediction[];
  /** What seemed to be wrong in this stretch. */
  readonly findings: readonly Finding[];
}

interface RunParts {
  readonly config: TrainConfig;
  readonly options: TrainOptions;
  readonly peers: Processes;
  /** Of the first process; the others write nothing. */
  readonly folder: RunFolder | undefined;
  readonly loader: DataLoader;
  readonly validator: Validator | undefined;
  readonly engine: Remote<TrainerMethods>;
  readonly events: EventFile | undefined;
  readonly architecture: ClipConfig;
  readonly samples: readonly Sample[];
  /** All images left out so far. */
  readonly skipped: () => readonly SkippedImage[];
}

/** One stretch of a run, from its start or a checkpoint to its end or a stop. */
export class Run {
  readonly #parts: RunParts;
  readonly #doctor: Doctor;
  readonly #findings: Finding[] = [];
  readonly #started = performance.now();
  #firstStepEnded: number | undefined;
  #scores: ValidationScores | undefined;
  #predictions: readonly Prediction[] = [];
  /** When the last step had ended, and how long had been waited until then. */
  #stepped = performance.now();
  #waited = 0;
  /** Steps of this stretch. */
  #done = 0;
  /** Seconds spent with other processes. */
  #communicated = 0;
  /** The step of the last checkpoint, 0 without one. */
  #saved = 0;

  constructor(parts: RunParts) {
    this.#parts = parts;
    const { batchSize, warmupSteps } = parts.config;
    const { architecture } = parts;
    this.#doctor = new Doctor({
      chanceLoss: chanceLoss(architecture, batchSize),
      warmupSteps,
      maxLogitScale: architecture.score === "sigmoid" ? Infinity : maxLogitScale,
      areClasses: areOfClasses(parts.config.train, parts.config),
    });
  }

  async loop(first: number): Promise<Omit<TrainResult, "skipped">> {
    const { config, loader } = this.#parts;
    let step = first;
    this.#saved = first;
    for await (const batch of loader.batches({ fromStep: first, toStep: config.steps })) {
      if (await this.#isToldToStop()) break;
      await this.#step(batch);
      step = batch.step + 1;
      if (step % config.validateEvery === 0 || step === config.steps) await this.#validate(step);
      if (step % config.saveEvery === 0 || step === config.steps) {
        await this.#save(step);
      }
    }
    if (this.#saved < step) await this.#save(step);
    const finished = step === config.steps;
    if (finished) this.#tell(this.#doctor.end());
    // A run may be killed between its last checkpoint and its end.
    if (finished && first === step) await this.#score();
    return {
      finished,
      steps: step,
      seconds: this.#seconds(),
      ...this.#rates(),
      rank: this.#parts.peers.rank,
      scores: this.#scores,
      predictions: this.#predictions,
      findings: this.#findings,
    };
  }

  /** Whether to stop here: all processes of a group do so after the same step. */
  async #isToldToStop(): Promise<boolean> {
    const { options, peers } = this.#parts;
    return (await peers.exchange(options.signal?.aborted ? "stop" : "")).includes("stop");
  }

  async #step(batch: TrainingBatch): Promise<void> {
    const { config, options, folder, loader, engine, events } = this.#parts;
    const repeatedCaptions = shareRepeated(batch.captionGroup);
    const { learningRate: peak, warmupSteps, steps, schedule, cooldownSteps } = config;
    const learningRate = scheduledLearningRate(batch.step, {
      ...{ learningRate: peak, warmupSteps, steps, schedule, cooldownSteps },
    });
    const { pixels, inputIds, endOfText, captionGroup, synthetic } = batch;
    const ofSynthetic = Object.values(synthetic ?? {}) as Int32Array[];
    const moved = [pixels, inputIds, endOfText, captionGroup, ...ofSynthetic];
    const tensors = { pixels, inputIds, endOfText, captionGroup, synthetic };
    const met = await engine.call("step", [tensors, learningRate], moved);
    const { loss, gradientNorm, logitScale, imageSpread, textSpread, communicationSeconds, ...parts } = met;
    this.#communicated += communicationSeconds;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) await this.#fail(batch, loss, gradientNorm);

    const step = batch.step + 1;
    const epoch = Math.floor(batch.step / loader.stepsPerEpoch);
    this.#done++;
    if (!folder) return;
    await folder.writeMetrics({ step, epoch, loss, ...parts, learningRate, gradientNorm, logitScale });
    await events?.write(step, { loss, ...parts, learningRate, gradientNorm, logitScale });
    // What is written says nothing of whether pairs are told apart.
    const observed = { loss: parts.contrastiveLoss ?? loss, gradientNorm, logitScale, imageSpread, textSpread };
    this.#examine({ step, ...observed, repeatedCaptions });
    const rates = this.#rates();
    const secondsLeft = this.#secondsLeft(config.steps - step);
    const progress = { step, steps: config.steps, epoch, loss, learningRate, ...rates, secondsLeft };
    options.onProgress?.({ ...progress, validation: this.#scores });
  }

  async #validate(step: number): Promise<void> {
    await this.#score();
    if (!this.#scores) return;
    const { folder, events, options } = this.#parts;
    await folder?.writeMetrics({ step, validation: this.#scores });
    const { top1, top5 } = this.#scores;
    await events?.write(step, { "validation/top1": top1, "validation/top5": top5 });
    options.onValidation?.({ step, scores: this.#scores, predictions: this.#predictions });
  }

  /** Lets the doctor look at a step. */
  #examine(observation: Omit<Observation, "waitShare">): void {
    const { loader } = this.#parts;
    const [now, waited] = [performance.now(), loader.stats.waitSeconds];
    const waitShare = (1000 * (waited - this.#waited)) / (now - this.#stepped);
    [this.#stepped, this.#waited] = [now, waited];
    this.#tell(this.#doctor.observe({ ...observation, waitShare }));
  }

  #tell(findings: readonly Finding[]): void {
    for (const finding of findings) {
      this.#findings.push(finding);
      this.#parts.options.onFinding?.(finding);
    }
  }

  async #score(): Promise<void> {
    const { validator, engine, architecture } = this.#parts;
    if (!validator) return;
    const { scores, predictions } = await validator.validate({
      embedDim: architecture.embedDim,
      contextLength: architecture.text.contextLength,
      encodeImages: (pixelValues) => engine.call("encodeImages", [pixelValues], [pixelValues]),
      encodeTexts: (inputIds, endOfText) => engine.call("encodeTexts", [inputIds, endOfText]),
    });
    [this.#scores, this.#predictions] = [scores, predictions];
  }

  async #save(step: number): Promise<void> {
    const { engine, folder, peers, skipped } = this.#parts;
    if (peers.size > 1) await expectSame(peers, await engine.call("checksum", []), "other parameters");
    if (folder) {
      await folder.writeSkipped(skipped());
      await folder.saveCheckpoint(await stateOf(engine));
    }
    this.#saved = step;
  }

  /** Nothing good comes after a loss that is no number: leaves the last checkpoint as it is and says what went in. */
  async #fail(batch: TrainingBatch, loss: number, gradientNorm: number): Promise<never> {
    const { samples, folder, peers } = this.#parts;
    const own = Array.from(batch.samples, (sample: number, i) => ({
      image: samples[sample]!.image,
      caption: batch.captions[i],
    }));
    const inputs = (await peers.exchange(JSON.stringify(own))).flatMap((text) => JSON.parse(text) as typeof own);
    // All processes come here: the others wait for the first, which ends them when it has said what there is to say.
    while (!folder) await peers.exchange("");
    await folder.assertHeld();
    const path = join(folder.path, runFiles.failure);
    // As words: JSON has no NaN.
    const failure = { step: batch.step + 1, loss: String(loss), gradientNorm: String(gradientNorm), inputs };
    await writeFileAtomic(path, [`${JSON.stringify(failure, null, 2)}\n`]);
    const what = Number.isFinite(loss) ? `the gradient norm is ${gradientNorm}` : `the loss is ${loss}`;
    const kept =
      this.#saved === 0 ? "there is no checkpoint yet" : `the checkpoint of step ${this.#saved} is untouched`;
    throw new ClipError(
      "CLIP_TRAIN",
      `${what} at step ${batch.step + 1}; the weights were not updated, and ${kept}. The pairs of this step are in ` +
        `${path}. Lower learningRate, lengthen warmupSteps or set gradClipNorm, and start anew`,
    );
  }

  #rates(): Pick<TrainProgress, "pairsPerSecond" | "waitShare" | "communicationShare"> {
    const seconds = this.#seconds();
    return {
      pairsPerSecond: (this.#done * this.#parts.config.batchSize) / seconds,
      waitShare: this.#parts.loader.stats.waitSeconds / seconds,
      communicationShare: this.#communicated / seconds,
    };
  }

  #secondsLeft(steps: number): number | undefined {
    const now = performance.now();
    this.#firstStepEnded ??= now;
    if (steps === 0) return 0;
    return this.#done > 1 ? (steps * (now - this.#firstStepEnded)) / (this.#done - 1) / 1000 : undefined;
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}
