import { createHash } from "node:crypto";
import { Random } from "../../../core/random.ts";
import { float32, int32, type TensorData } from "../../../core/tensor-data.ts";
import { alone, type Group, sumOver } from "../../../engine/distributed/group.ts";
import { type ClipConfig } from "../../../model/towers/config.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { buildModel } from "../../../engine/onnx/build.ts";
import { AdamW, type AdamwOptions } from "../../../engine/optimize/adamw.ts";
import type { Moment } from "../../../engine/optimize/adamw-shard.ts";
import { discard } from "../../../engine/threads/discard.ts";
import { type NamedTensors, OrtSession } from "../../../engine/runtime/ort-session.ts";
import { captionGroups } from "../../../inputs/data/caption-groups.ts";
import type { ClipsObjective } from "../batches/synthetic-captions.ts";
import type { EngineState, EngineStateTarget } from "./engine-state.ts";
import { maxLogitScale } from "./losses.ts";
import { chunkOf, decoderFeeds, groupFeeds, type PairTensors, textFeeds, towerFeeds } from "../batches/pair-tensors.ts";
import {
  cachedLossProgram,
  chunkFeaturesProgram,
  chunkGradientProgram,
  featureGradients,
  featureNames,
  imageEmbedsProgram,
  isOfTower,
  keptTokens,
  prefixes,
  type Program,
  type StepOptions,
  stepProgram,
  textEmbedsProgram,
  tokensOf,
} from "./programs.ts";
import { purposes } from "../batches/sampling.ts";
import { type ParameterChoice, trainedParameters } from "./trained-parameters.ts";

/** What a training run computes with. */
export interface EngineOptions extends AdamwOptions, ParameterChoice {
  readonly config: ClipConfig;
  /** Pairs per update, N. */
  readonly batchSize: number;
  /** Pairs encoded at once; less than `batchSize` trades time for memory, with the same result but for batch norm's statistics. Divides what a process has of the batch. */
  readonly chunkSize: number;
  /** Gradients above this norm are scaled down to it. */
  readonly gradClipNorm: number | undefined;
  /** Share of the old value in the moving average of the weights, in [0, 1); without it there is no average. */
  readonly emaDecay: number | undefined;
  /** See {@link StepOptions}. */
  readonly checkpointBlocks: boolean;
  readonly labelSmoothing: number;
  readonly patchDropout: number;
  /** Set for batches with synthetic captions; the decoder, if there is one, is the model's. */
  readonly objective?: ClipsObjective | undefined;
  /** What patches are left out by, beside the step and the pair. */
  readonly seed: number;
}

/** Parameters from which on a step is as fast where ONNX Runtime keeps no buffers, and holds up to a quarter less (docs/performance.md). */
const arenaBelow = 100_000_000;

/** What a step tells. */
export interface StepResult {
  /** In nats, before the update. */
  readonly loss: number;
  /** With a decoder: what telling pairs apart and writing captions have to do with it, the latter before its weight. */
  readonly contrastiveLoss?: number;
  readonly captionLoss?: number;
  /** Of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** After the update. */
  readonly logitScale: number;
  /** How far the batch's unit vectors are from being one, in [0, 1]: 1 − ‖their mean‖². */
  readonly imageSpread: number;
  readonly textSpread: number;
  /** Of the step, spent with the other processes or waiting for them. */
  readonly communicationSeconds: number;
}

/**
 * Holds a model, its optimiser and the compiled programs of a step; it blocks the thread that it runs on. Several processes that are a
 * group make each step together: each has its share of the pairs, in order of rank, and all come to the same parameters.
 */
export class TrainEngine implements EngineState, EngineStateTarget, AsyncDisposable {
  readonly #options: EngineOptions;
  readonly #group: Group;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #parameters: Map<string, Float32Array>;
  readonly #adamw: AdamW;
  /** The parameters that are trained. */
  readonly #trained: ReadonlySet<string>;
  readonly #sessions = new Map<string, Promise<OrtSession>>();
  #average: Map<string, Float32Array> | undefined;

  private constructor(
    options: EngineOptions,
    parameters: Map<string, Float32Array>,
    adamw: AdamW,
    trained: ReadonlySet<string>,
    group: Group,
  ) {
    [this.#options, this.#parameters, this.#adamw, this.#trained] = [options, parameters, adamw, trained];
    this.#group = group;
    this.#shapes = new Map(
      Array.from(parameterSpecs(clipParameters(options.config)), ([path, { shape }]) => [path, shape]),
    );
    if (options.emaDecay !== undefined) {
      this.#average = new Map(Array.from(parameters, ([path, values]) => [path, values.slice()]));
    }
  }

  /** @param parameters - start values by path; they are taken over. */
  static async create(
    options: EngineOptions,
    parameters: Map<string, Float32Array>,
    group: Group = alone,
  ): Promise<TrainEngine> {
    const trained = trainedParameters(options.config, options);
    const { beta1, beta2, epsilon, weightDecay } = options;
    const adamw = await AdamW.create({ beta1, beta2, epsilon, weightDecay }, trained);
    return new TrainEngine(options, parameters, adamw, new Set(trained.map(({ path }) => path)), group);
  }

  /**
   * One update by a batch. If the loss or the norm is not a finite number nothing is updated: the caller has to stop.
   */
  async step(batch: PairTensors, learningRate: number): Promise<StepResult> {
    const secondsBefore = this.#group.seconds;
    const { squaredNorm, gradients, statistics, ...told } =
      this.#options.chunkSize < this.#options.batchSize ? await this.#chunkedStep(batch) : await this.#wholeStep(batch);
    const gradientNorm = Math.sqrt(squaredNorm);
    const [before] = this.#parameters.get("logitScale")!;
    const communicationSeconds = this.#group.seconds - secondsBefore;
    const met = { ...told, gradientNorm, communicationSeconds };
    if (!Number.isFinite(met.loss) || !Number.isFinite(gradientNorm)) return { ...met, logitScale: before! };

    const { gradClipNorm } = this.#options;
    const gradientScale = gradClipNorm === undefined ? 1 : Math.min(1, gradClipNorm / (gradientNorm + 1e-6));
    await this.#adamw.step(this.#parameters, gradients, { learningRate, gradientScale });
    for (const [path, values] of statistics) this.#parameters.set(path, values);
    const logitScale = this.#parameters.get("logitScale")!;
    if (this.#options.config.score !== "sigmoid") logitScale[0] = Math.min(Math.max(logitScale[0]!, 0), maxLogitScale);
    this.#updateAverage();
    return { ...met, logitScale: logitScale[0]! };
  }

  /** Unit vectors of images, [n, E], by the averaged weights if there are any. */
  async encodeImages(pixelValues: Float32Array): Promise<Float32Array> {
    const { config } = this.#options;
    const { imageSize } = config.vision;
    const shape = [pixelValues.length / (3 * imageSize ** 2), 3, imageSize, imageSize];
    const feeds = { pixelValues: float32(pixelValues, shape) };
    const { imageEmbeds } = await this.#run("imageEmbeds", () => imageEmbedsProgram(config), feeds, this.#average);
    return imageEmbeds!.data as Float32Array;
  }

  /** Unit vectors of texts, [n, E], by the averaged weights if there are any. */
  async encodeTexts(inputIds: Int32Array, endOfText: Int32Array): Promise<Float32Array> {
    const { config } = this.#options;
    const feeds = textFeeds({ inputIds, endOfText }, config);
    const { textEmbeds } = await this.#run("textEmbeds", () => textEmbedsProgram(config), feeds, this.#average);
    return textEmbeds!.data as Float32Array;
  }

  get steps(): number {
    return this.#adamw.steps;
  }

  get lengths(): ReadonlyMap<string, number> {
    const named = (group: string, paths: Iterable<string>) =>
      Array.from(paths, (path) => [`${group}.${path}`, this.#parameters.get(path)!.length] as const);
    return new Map([
      ...named("parameter", this.#parameters.keys()),
      ...named("first", this.#trained),
      ...named("second", this.#trained),
      ...named("average", this.#average?.keys() ?? []),
    ]);
  }

  async read(name: string): Promise<Float32Array> {
    const { moment, path, values } = this.#find(name);
    return moment ? this.#adamw.read(moment, path) : values!.slice();
  }

  async write(name: string, values: Float32Array): Promise<void> {
    const { moment, path, values: own } = this.#find(name);
    if (moment) await this.#adamw.write(moment, path, values);
    else own!.set(values);
  }

  goOnFrom(steps: number): void {
    this.#adamw.steps = steps;
  }

  /** Takes over what rank 0 goes on from, to the bit; all ranks call it. */
  async startAsFirst(steps: number): Promise<void> {
    for (const name of this.lengths.keys()) {
      const values = await this.read(name);
      this.#group.broadcast(values);
      await this.write(name, values);
    }
    this.goOnFrom(steps);
  }

  /** Equal for parameters that are equal to the bit. */
  checksum(): string {
    const hash = createHash("sha256");
    for (const values of this.#parameters.values()) hash.update(values);
    return hash.digest("hex");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#adamw[Symbol.asyncDispose]();
    for (const session of this.#sessions.values()) await (await session).release();
  }

  /** Where the array of a name is: with the optimiser, or here. */
  #find(name: string): { path: string; moment?: Moment; values?: Float32Array } {
    const dot = name.indexOf(".");
    const [group, path] = [name.slice(0, dot), name.slice(dot + 1)];
    if (group === "first" || group === "second") return { path, moment: group };
    return { path, values: (group === "average" ? this.#average! : this.#parameters).get(path)! };
  }

  /** Whether buffers are better kept: those of a large model would be kept beside each other, one program's beside the next's. */
  get #isSmall(): boolean {
    const numbers = [...this.#parameters.values()].reduce((sum, { length }) => sum + length, 0);
    return numbers < arenaBelow;
  }

  get #stepOptions(): StepOptions {
    const { checkpointBlocks, labelSmoothing, patchDropout, objective } = this.#options;
    return { checkpointBlocks, labelSmoothing, patchDropout, objective, trained: this.#trained };
  }

  /**
   * What a step sees of these pairs' images where patches are dropped: for each pair its own, by chance, whatever batch or
   * chunk it is in. Rows of tokens, as the program counts them from the first image.
   */
  #keptTokens(firstPair: number, pairs: number): { keptTokens?: TensorData } {
    const { config, patchDropout, seed } = this.#options;
    if (patchDropout === 0) return {};
    const { others, patches } = tokensOf(config);
    const kept = keptTokens(config, patchDropout);
    const rows = Array.from({ length: pairs }, (_, i) => {
      const random = new Random(seed, purposes.patches, this.#adamw.steps, firstPair + i);
      const seen = [...random.permutation(patches).subarray(0, kept - others)].map((patch) => others + patch);
      return [...Array.from({ length: others }, (_, token) => token), ...seen].map(
        (token) => i * (others + patches) + token,
      );
    });
    return { keptTokens: int32(rows.flat(), [pairs, kept]) };
  }

  async #wholeStep(batch: PairTensors): Promise<Gradients> {
    const { config, batchSize } = this.#options;
    const program = () => stepProgram(config, batchSize, this.#stepOptions);
    const outputs = await this.#run("step", program, {
      ...towerFeeds(chunkOf(batch, 0, batchSize, config), config),
      ...this.#keptTokens(0, batchSize),
      ...groupFeeds(batch),
      ...decoderFeeds(batch, config),
    });
    if (!config.decoder) return collect(outputs);
    return {
      ...collect(outputs),
      ...this.#totalLoss(numberIn(outputs, "contrastiveLoss"), numberIn(outputs, "captionLoss")),
    };
  }

  /**
   * The feature cache: encode all chunks, loss at the features, encode each chunk again with gradients. Of several processes each does so with its
   * share of the pairs; the features of all go to all, and the gradients are summed.
   */
  async #chunkedStep(batch: PairTensors): Promise<Gradients> {
    const { config, batchSize, chunkSize } = this.#options;
    const { embedDim } = config;
    const count = batchSize / this.#group.size;
    const first = this.#group.rank * count;
    const chunks = count / chunkSize;
    // Made twice, since all at once would be larger than anything else.
    const feedsOf = (i: number) => {
      const chunk = chunkOf(batch, i, chunkSize, config);
      const kept = this.#keptTokens(first + i * chunkSize, chunkSize);
      return { ...towerFeeds(chunk, config), ...kept, ...decoderFeeds(chunk, config) };
    };
    const names = featureNames(this.#stepOptions);
    const features = new Map(names.map((name) => [name, new Float32Array(count * embedDim)]));
    const featuresProgram = () => chunkFeaturesProgram(config, chunkSize, this.#stepOptions);
    for (let i = 0; i < chunks; i++) {
      const part = await this.#run("chunkFeatures", featuresProgram, feedsOf(i));
      for (const [name, all] of features) all.set(part[name]!.data as Float32Array, i * chunkSize * embedDim);
    }
    const ofAll = (values: Float32Array) => float32(this.#group.allGather(values), [batchSize, embedDim]);
    const lossProgram = () => cachedLossProgram(config, batchSize, this.#stepOptions, { first, count });
    const cached = await this.#run("cachedLoss", lossProgram, {
      ...Object.fromEntries(Array.from(features, ([name, own]) => [name, ofAll(own)])),
      ...groupFeeds(this.#groupsOfAll(batch)),
    });
    // The loss of every pair reads the features of all.
    for (const name of names) this.#group.allReduce(cached[featureGradients[name]]!.data as Float32Array);
    const program = () => chunkGradientProgram(config, chunkSize, this.#stepOptions);
    let last: Record<string, TensorData> = {};
    let captionLoss = 0;
    const statistics = new Map<string, Float32Array>();
    for (let i = 0; i < chunks; i++) {
      const from = (first + i * chunkSize) * embedDim;
      const rowsOf = (values: Float32Array) =>
        float32(values.slice(from, from + chunkSize * embedDim), [chunkSize, embedDim]);
      const seeds = names.map((name) => {
        const gradient = featureGradients[name];
        return [gradient, rowsOf(cached[gradient]!.data as Float32Array)] as const;
      });
      const sums = this.#sumFeeds(last);
      last = await this.#run("chunkGradient", program, {
        ...feedsOf(i),
        ...sums,
        ...Object.fromEntries(seeds),
      });
      if (config.decoder) captionLoss += numberIn(last, "captionLoss");
      discard(Object.values(sums).map(({ data }) => data));
      // Each chunk moves the running statistics from where the step began: the mean of all is the step's.
      for (const [path, values] of under(prefixes.statistic, last)) {
        const mean = statistics.get(path) ?? new Float32Array(values.length);
        statistics.set(
          path,
          mean.map((value, at) => value + values[at]! / chunks),
        );
      }
    }
    // Each has its own part of the gradients, and of their norm.
    const total = collect({ ...cached, ...last });
    const written = config.decoder && { captionLoss };
    const own = { ...total, ...written, statistics };
    const squaredNorm = total.squaredNorm + numberIn(cached, "squaredNorm");
    const summed = this.#group.size > 1 ? this.#sumOverGroup(own) : { ...own, squaredNorm };
    return { ...summed, ...(config.decoder && this.#totalLoss(summed.loss, summed.captionLoss!)) };
  }

  #totalLoss(
    contrastiveLoss: number,
    captionLoss: number,
  ): Pick<StepResult, "loss" | "contrastiveLoss" | "captionLoss"> {
    const { decoderWeight } = this.#options.objective!;
    return { loss: contrastiveLoss + decoderWeight * captionLoss, contrastiveLoss, captionLoss };
  }

  /** As in the batch, but for the pairs of all processes. */
  #groupsOfAll({ captionGroup, inputIds, synthetic }: PairTensors): Pick<PairTensors, "captionGroup" | "synthetic"> {
    if (this.#group.size === 1) return { captionGroup, synthetic };
    const ofAll = (ids: Int32Array) => captionGroups(this.#group.allGather(ids), this.#options.batchSize);
    return {
      captionGroup: ofAll(inputIds),
      synthetic: synthetic && { ...synthetic, captionGroup: ofAll(synthetic.inputIds) },
    };
  }

  /** The whole batch's, from what each process has of its own pairs. */
  #sumOverGroup({ loss, captionLoss, gradients, statistics, ...spreads }: Gradients): Gradients {
    const losses = Float32Array.of(loss, captionLoss ?? 0);
    sumOver(this.#group, [losses, ...gradients.values(), ...statistics.values()]);
    // Each process's is the mean over its chunks.
    for (const values of statistics.values()) values.forEach((sum, i) => (values[i] = sum / this.#group.size));
    let squaredNorm = 0;
    for (const values of gradients.values()) for (const value of values) squaredNorm += value * value;
    // In float32 as in one process: a norm beyond it is no number to go on with.
    const [ofPairs, ofWriting] = losses;
    const written = captionLoss !== undefined && { captionLoss: ofWriting };
    return { ...spreads, loss: ofPairs!, ...written, gradients, statistics, squaredNorm: Math.fround(squaredNorm) };
  }

  /** The gradients of the chunks before, or zeros, as inputs of the next. */
  #sumFeeds(outputs: Readonly<Record<string, TensorData>>): Record<string, TensorData> {
    const feeds: Record<string, TensorData> = {};
    for (const path of this.#trained) {
      if (!isOfTower(path)) continue;
      const zeros = () => float32(new Float32Array(this.#parameters.get(path)!.length), this.#shapes.get(path)!);
      feeds[`${prefixes.sum}${path}`] = outputs[`${prefixes.gradient}${path}`] ?? zeros();
    }
    return feeds;
  }

  async #run(
    name: string,
    program: () => Program,
    feeds: NamedTensors,
    parameters: ReadonlyMap<string, Float32Array> = this.#parameters,
  ): Promise<Record<string, TensorData>> {
    let session = this.#sessions.get(name);
    if (!session) {
      session = OrtSession.create(buildModel(program()), { training: true, arena: this.#isSmall });
      this.#sessions.set(name, session);
    }
    const { inputs } = await session;
    // A program has no input for what it does not use, such as the images where their tower is locked.
    const used = inputs.map(
      ({ name }) => [name, feeds[name] ?? float32(parameters.get(name)!, this.#shapes.get(name)!)] as const,
    );
    return (await session).run(Object.fromEntries(used));
  }

  #updateAverage(): void {
    const { emaDecay } = this.#options;
    if (emaDecay === undefined) return;
    // Early on the average is over what there is: the start values would weigh too much.
    const keep = Math.min(emaDecay, (1 + this.#adamw.steps) / (10 + this.#adamw.steps));
    for (const [path, values] of this.#parameters) {
      const average = this.#average!.get(path)!;
      // What stays as it is stays so to the bit.
      for (let i = 0; i < values.length; i++) average[i]! += (values[i]! - average[i]!) * (1 - keep);
    }
  }
}

interface Gradients extends Omit<StepResult, "gradientNorm" | "logitScale" | "communicationSeconds"> {
  readonly squaredNorm: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

function collect(outputs: Readonly<Record<string, TensorData>>): Gradients {
  return {
    loss: numberIn(outputs, "loss"),
    imageSpread: numberIn(outputs, "imageSpread"),
    textSpread: numberIn(outputs, "textSpread"),
    squaredNorm: numberIn(outputs, "squaredNorm"),
    gradients: under(prefixes.gradient, outputs),
    statistics: under(prefixes.statistic, outputs),
  };
}

const numberIn = (outputs: Readonly<Record<string, TensorData>>, name: string) => Number(outputs[name]!.data[0]);

/** The outputs whose names begin so, by the rest of their names. */
function under(prefix: string, outputs: Readonly<Record<string, TensorData>>): Map<string, Float32Array> {
  const entries = Object.entries(outputs).filter(([name]) => name.startsWith(prefix));
  return new Map(entries.map(([name, { data }]) => [name.slice(prefix.length), data as Float32Array]));
}
