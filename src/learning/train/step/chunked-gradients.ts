import { float32, type TensorData } from "../../../core/tensor-data.ts";
import { type Group, sumOver } from "../../../engine/distributed/group.ts";
import type { NamedTensors } from "../../../engine/runtime/ort-session.ts";
import { discard } from "../../../engine/threads/discard.ts";
import { captionGroups } from "../../../inputs/data/caption-groups.ts";
import { groupFeeds, type PairTensors } from "../batches/pair-tensors.ts";
import {
  type BatchGradients,
  chunkFeeds,
  collectGradients,
  type GradientContext,
  numberIn,
  stepOptions,
  totalLoss,
  withPrefix,
} from "./batch-gradients.ts";
import {
  cachedLossProgram,
  chunkFeaturesProgram,
  chunkGradientProgram,
  featureGradients,
  featureNames,
  isOfTower,
  prefixes,
} from "./programs.ts";

type Outputs = Record<string, TensorData>;

/** This process's share of a batch, in chunks. */
interface Chunks {
  /** Place of the share in the batch. */
  readonly first: number;
  /** Pairs in the share. */
  readonly count: number;
  /** Makes the inputs of a chunk only when it runs: the inputs of all chunks would be the largest thing in memory. */
  readonly feeds: readonly (() => NamedTensors)[];
}

/**
 * The gradients of a batch in the memory of a chunk (the feature cache of Gao et al. 2021): encode all chunks, compute the loss
 * and its gradients at the features, encode each chunk again with gradients. Several processes each take their share of the
 * pairs; they gather the features and sum the gradients.
 */
export async function chunkedGradients(context: GradientContext, batch: PairTensors): Promise<BatchGradients> {
  const chunks = chunksOf(context, batch);
  const atFeatures = await lossAtFeatures(context, chunks, batch, await encodeChunks(context, chunks));
  const { outputs, captionLoss, statistics } = await chunkGradients(context, chunks, atFeatures);
  const caption = context.options.config.decoder && { captionLoss };
  const own = { ...collectGradients({ ...atFeatures, ...outputs }), ...caption, statistics };
  // The two programs compute the gradients of different parameters.
  const squaredNorm = own.squaredNorm + numberIn(atFeatures, "squaredNorm");
  const all = context.group.size > 1 ? sumOverGroup(context.group, own) : { ...own, squaredNorm };
  return { ...all, ...(caption && totalLoss(context, all.loss, all.captionLoss!)) };
}

function chunksOf(context: GradientContext, batch: PairTensors): Chunks {
  const { batchSize, chunkSize } = context.options;
  const count = batchSize / context.group.size;
  const first = context.group.rank * count;
  const feedsOf = (i: number) => () => chunkFeeds(context, batch, i, chunkSize, first);
  return { first, count, feeds: Array.from({ length: count / chunkSize }, (_, i) => feedsOf(i)) };
}

/** The features of the whole batch by name, [N, E] each. */
async function encodeChunks(context: GradientContext, { count, feeds }: Chunks): Promise<NamedTensors> {
  const { options, sessions, state, group } = context;
  const { config, batchSize, chunkSize } = options;
  const { embedDim } = config;
  const features = featureNames(options).map((name) => [name, new Float32Array(count * embedDim)] as const);
  const program = () => chunkFeaturesProgram(config, chunkSize, stepOptions(context));
  for (const [i, feedsOf] of feeds.entries()) {
    const outputs = await sessions.run("chunkFeatures", program, feedsOf(), state.parameters);
    for (const [name, own] of features) own.set(outputs[name]!.data as Float32Array, i * chunkSize * embedDim);
  }
  return Object.fromEntries(
    features.map(([name, own]) => [name, float32(group.allGather(own), [batchSize, embedDim])]),
  );
}

async function lossAtFeatures(
  context: GradientContext,
  { first, count }: Chunks,
  batch: PairTensors,
  features: NamedTensors,
): Promise<Outputs> {
  const { options, sessions, state, group } = context;
  const program = () => cachedLossProgram(options.config, options.batchSize, stepOptions(context), { first, count });
  const feeds = { ...features, ...groupFeeds(groupsOfAll(context, batch)) };
  const outputs = await sessions.run("cachedLoss", program, feeds, state.parameters);
  // The loss of each process's pairs depends on the features of all.
  for (const name of featureNames(options)) group.allReduce(outputs[featureGradients[name]]!.data as Float32Array);
  return outputs;
}

/** Caption groups over the pairs of all processes. */
function groupsOfAll(
  { options, group }: GradientContext,
  { captionGroup, inputIds, synthetic }: PairTensors,
): Pick<PairTensors, "captionGroup" | "synthetic"> {
  if (group.size === 1) return { captionGroup, synthetic };
  const ofAll = (ids: Int32Array) => captionGroups(group.allGather(ids), options.batchSize);
  return {
    captionGroup: ofAll(inputIds),
    synthetic: synthetic && { ...synthetic, captionGroup: ofAll(synthetic.inputIds) },
  };
}

/** The second pass over the chunks. `outputs` are the last chunk's, whose gradients include those of the chunks before it. */
async function chunkGradients(context: GradientContext, { first, feeds }: Chunks, atFeatures: Outputs) {
  const { options, sessions, state } = context;
  const { config, chunkSize } = options;
  const program = () => chunkGradientProgram(config, chunkSize, stepOptions(context));
  const statistics = new Map<string, Float32Array>();
  let sums = sumFeeds(context, {});
  let outputs: Outputs = {};
  let captionLoss = 0;
  for (const [i, feedsOf] of feeds.entries()) {
    const atChunk = gradientsAtChunk(context, atFeatures, first + i * chunkSize);
    outputs = await sessions.run("chunkGradient", program, { ...feedsOf(), ...sums, ...atChunk }, state.parameters);
    discard(Object.values(sums).map(({ data }) => data));
    sums = sumFeeds(context, outputs);
    if (config.decoder) captionLoss += numberIn(outputs, "captionLoss");
    addToMean(statistics, withPrefix(prefixes.statistic, outputs), feeds.length);
  }
  return { outputs, captionLoss, statistics };
}

/** The gradients at a chunk's features, from its first pair on. */
function gradientsAtChunk({ options }: GradientContext, atFeatures: Outputs, firstPair: number): NamedTensors {
  const { chunkSize, config } = options;
  const rows = featureNames(options).map((name) => {
    const gradient = atFeatures[featureGradients[name]]!.data as Float32Array;
    const own = gradient.slice(firstPair * config.embedDim, (firstPair + chunkSize) * config.embedDim);
    return [featureGradients[name], float32(own, [chunkSize, config.embedDim])] as const;
  });
  return Object.fromEntries(rows);
}

/** Gradient sums of the chunks so far, as inputs of the next chunk: zeros for the first. */
function sumFeeds({ state }: GradientContext, outputs: Outputs): NamedTensors {
  const feeds: Record<string, TensorData> = {};
  for (const path of state.trained) {
    if (!isOfTower(path)) continue;
    const zeros = () => float32(new Float32Array(state.parameters.get(path)!.length), state.shapes.get(path)!);
    feeds[`${prefixes.sum}${path}`] = outputs[`${prefixes.gradient}${path}`] ?? zeros();
  }
  return feeds;
}

/** Every chunk starts from the same running statistics; the step's are the mean over its chunks. */
function addToMean(mean: Map<string, Float32Array>, own: ReadonlyMap<string, Float32Array>, chunks: number): void {
  for (const [path, values] of own) {
    if (!mean.has(path)) mean.set(path, new Float32Array(values.length));
    const sum = mean.get(path)!;
    values.forEach((value, at) => (sum[at]! += value / chunks));
  }
}

/** The gradients of the whole batch from each process's own. */
function sumOverGroup(group: Group, { loss, captionLoss, gradients, statistics, ...rest }: BatchGradients) {
  const losses = Float32Array.of(loss, captionLoss ?? 0);
  sumOver(group, [losses, ...gradients.values(), ...statistics.values()]);
  for (const values of statistics.values()) values.forEach((sum, i) => (values[i] = sum / group.size));
  let squaredNorm = 0;
  for (const values of gradients.values()) for (const value of values) squaredNorm += value * value;
  return {
    ...rest,
    loss: losses[0]!,
    ...(captionLoss !== undefined && { captionLoss: losses[1]! }),
    gradients,
    statistics,
    // In float32 as in one process, so that the same norms overflow.
    squaredNorm: Math.fround(squaredNorm),
  };
}
