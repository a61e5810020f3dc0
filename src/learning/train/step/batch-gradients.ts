import type { TensorData } from "../../../core/tensor-data.ts";
import type { Group } from "../../../engine/distributed/group.ts";
import type { NamedTensors } from "../../../engine/runtime/ort-session.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";
import { chunkOf, decoderFeeds, groupFeeds, type PairTensors, towerFeeds } from "../batches/pair-tensors.ts";
import { drawKeptTokens } from "./patch-dropout.ts";
import { prefixes, type StepOptions, stepProgram } from "./programs.ts";
import type { Sessions } from "./sessions.ts";
import type { TrainerState } from "./trainer-state.ts";

/** How gradients are computed. */
export interface GradientOptions extends Omit<StepOptions, "trained"> {
  readonly checkpointBlocks: boolean;
  readonly labelSmoothing: number;
  readonly config: ClipConfig;
  /** Pairs per update, N. */
  readonly batchSize: number;
  /**
   * Pairs encoded at once; must divide a process's share of the batch. Less than `batchSize` trades time for memory, with equal
   * results except for batch norm statistics.
   */
  readonly chunkSize: number;
  readonly patchDropout: number;
  /** Seed of patch dropout. */
  readonly seed: number;
}

/** The parts of a trainer that compute gradients. */
export interface GradientContext {
  readonly options: GradientOptions;
  readonly state: TrainerState;
  readonly sessions: Sessions;
  readonly group: Group;
}

/** The losses of a batch, before the update. */
export interface BatchLosses {
  /** In nats. */
  readonly loss: number;
  /** With a decoder, the two parts of the loss; `captionLoss` before its weight. */
  readonly contrastiveLoss?: number;
  readonly captionLoss?: number;
  /** Spread of the batch's embeddings, 1 − ‖mean‖², in [0, 1]; 0 if all are equal. */
  readonly imageSpread: number;
  readonly textSpread: number;
}

/** The losses of a batch and its gradients by path. */
export interface BatchGradients extends BatchLosses {
  /** Of all gradients together. */
  readonly squaredNorm: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** New running statistics by path. */
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

/** The gradients of a batch, computed at once. */
export async function wholeBatchGradients(context: GradientContext, batch: PairTensors): Promise<BatchGradients> {
  const { config, batchSize } = context.options;
  const outputs = await context.sessions.run(
    "step",
    () => stepProgram(config, batchSize, stepOptions(context)),
    { ...chunkFeeds(context, batch, 0, batchSize, 0), ...groupFeeds(batch) },
    context.state.parameters,
  );
  const losses =
    config.decoder && totalLoss(context, numberIn(outputs, "contrastiveLoss"), numberIn(outputs, "captionLoss"));
  return { ...collectGradients(outputs), ...losses };
}

/**
 * The inputs of one chunk of a process's pairs.
 *
 * @param firstPair - place of the process's first pair in the batch.
 */
export function chunkFeeds(
  { options, state }: GradientContext,
  batch: PairTensors,
  chunk: number,
  size: number,
  firstPair: number,
): NamedTensors {
  const pairs = chunkOf(batch, chunk, size, options.config);
  return {
    ...towerFeeds(pairs, options.config),
    ...drawKeptTokens(options, state.steps, firstPair + chunk * size, size),
    ...decoderFeeds(pairs, options.config),
  };
}

export function stepOptions({ options, state }: GradientContext): StepOptions {
  return { ...options, trained: state.trained };
}

/** The loss of a model with a decoder. */
export function totalLoss({ options }: GradientContext, contrastiveLoss: number, captionLoss: number) {
  return { loss: contrastiveLoss + options.objective!.decoderWeight * captionLoss, contrastiveLoss, captionLoss };
}

export function collectGradients(outputs: Readonly<Record<string, TensorData>>): BatchGradients {
  return {
    loss: numberIn(outputs, "loss"),
    imageSpread: numberIn(outputs, "imageSpread"),
    textSpread: numberIn(outputs, "textSpread"),
    squaredNorm: numberIn(outputs, "squaredNorm"),
    gradients: withPrefix(prefixes.gradient, outputs),
    statistics: withPrefix(prefixes.statistic, outputs),
  };
}

export const numberIn = (outputs: Readonly<Record<string, TensorData>>, name: string) => Number(outputs[name]!.data[0]);

/** The outputs whose names start with a prefix, by the rest of their names. */
export function withPrefix(prefix: string, outputs: Readonly<Record<string, TensorData>>): Map<string, Float32Array> {
  const entries = Object.entries(outputs).filter(([name]) => name.startsWith(prefix));
  return new Map(entries.map(([name, { data }]) => [name.slice(prefix.length), data as Float32Array]));
}
