import { Random } from "../../src/core/random.ts";
import { alone, type Group } from "../../src/engine/distributed/group.ts";
import { type ClipConfig, type VitConfig } from "../../src/model/towers/config.ts";
import { initializeParameters } from "../../src/model/nn/parameters.ts";
import { clipParameters } from "../../src/model/towers/parameters.ts";
import { type TrainerOptions, Trainer } from "../../src/learning/train/step/trainer.ts";
import type { PairTensors } from "../../src/learning/train/batches/pair-tensors.ts";
import { trainEverything } from "../../src/learning/train/step/trained-parameters.ts";
import { snapshotOf } from "../train/snapshot.ts";
import { tinyResNet, tinyVit } from "../train/tiny-run.ts";

const batchSize = 8;
/** Tokens of a synthetic caption. */
const captionLength = 6;

const siglip: ClipConfig = {
  ...tinyVit,
  embedDim: 32,
  score: "sigmoid",
  vision: { ...(tinyVit.vision as VitConfig), pool: "probe" },
  text: { ...tinyVit.text, causal: false, pool: "last", projectionBias: true },
};

/** What several processes are to compute as one does. */
export const cases: Readonly<Record<string, Partial<TrainerOptions> & { readonly config: ClipConfig }>> = {
  vit: { config: tinyVit },
  "vit with smoothed labels and half of its patches, clipped": {
    ...{ config: tinyVit, gradClipNorm: 0.1, labelSmoothing: 0.1, patchDropout: 0.5 },
  },
  "siglip, clipped": { config: siglip, gradClipNorm: 0.1 },
  "synthetic captions with a decoder, clipped": {
    ...{ config: { ...tinyVit, decoder: { length: captionLength } }, gradClipNorm: 0.1 },
    objective: { decoderWeight: 2, captionLength },
  },
  // Its statistics are those of chunks, so that the chunks must be the same.
  "resnet with batch norm in chunks of 2": { config: tinyResNet, chunkSize: 2 },
};

/** What some steps left. */
export interface Outcome {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly parameters: ReadonlyMap<string, Float32Array>;
  /** What the optimiser was given in the first step, clipped if that was asked for. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Makes some steps of a case, as one of the processes of a group. */
export async function makeSteps(name: string, steps: number, group: Group = alone): Promise<Outcome> {
  const { config, ...change } = cases[name]!;
  const count = batchSize / group.size;
  const options: TrainerOptions = {
    ...{ config, batchSize, chunkSize: count, gradClipNorm: undefined, emaDecay: undefined },
    ...{ checkpointBlocks: false, beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 },
    ...{ labelSmoothing: 0, patchDropout: 0, seed: 0, ...trainEverything, ...change },
  };
  // Not the first's start: that of the first is what all must begin with.
  const start = initializeParameters(clipParameters(config), 1 + group.rank);
  // A bottleneck starts as its shortcut, and has no gradients then.
  for (const [path, { data }] of start) if (path.endsWith("conv3.norm.weight")) data.fill(0.5);
  await using trainer = await Trainer.create(
    options,
    new Map(Array.from(start, ([path, { data }]) => [path, data])),
    group,
  );
  await trainer.state.copyFromFirst(group, 0);
  const [losses, norms]: [number[], number[]] = [[], []];
  let gradients = new Map<string, Float32Array>();
  for (let step = 0; step < steps; step++) {
    const batch = shareOf(randomBatch(step, config), group.rank * count, count);
    const { loss, gradientNorm } = await trainer.step(batch, 1e-3);
    losses.push(loss);
    norms.push(gradientNorm);
    // The first moments keep a tenth.
    if (step === 0)
      gradients = new Map(
        Array.from((await snapshotOf(trainer.state)).of("first"), ([path, first]) => [
          path,
          first.map((value) => value * 10),
        ]),
      );
  }
  const [own, all] = [trainer.state.checksum(), group.exchange(trainer.state.checksum())];
  if (all.some((checksum) => checksum !== own)) throw new Error(`the processes came apart: ${all.join(", ")}`);
  return { losses, norms, parameters: (await snapshotOf(trainer.state)).of("parameter"), gradients };
}

type RandomBatch = PairTensors & { readonly pixelValues: Float32Array };

/** Eight pairs of random pixels and words, with synthetic captions of 1 to 6 tokens where there is a decoder to write them. */
function randomBatch(seed: number, { vision, text, decoder }: ClipConfig): RandomBatch {
  const random = new Random(seed);
  const pixelValues = Float32Array.from({ length: batchSize * 3 * vision.imageSize ** 2 }, () => random.normal());
  const pairs = { pixelValues, ...randomTexts(random, text) };
  if (!decoder) return pairs;
  const lengths = Array.from({ length: batchSize }, () => 1 + random.integer(captionLength));
  const total = lengths.reduce((sum, length) => sum + length);
  const counts = Array.from({ length: batchSize * captionLength }, (_, i) =>
    i % captionLength < lengths[Math.floor(i / captionLength)]! ? 1 / total : 0,
  );
  const writtenIds = Int32Array.from(counts, () => random.integer(text.vocabSize));
  return {
    ...pairs,
    synthetic: { ...randomTexts(random, text), writtenIds, tokenWeights: Float32Array.from(counts) },
  };
}

/** Eight texts of random words; the last two, and two of different processes, are one. */
function randomTexts(random: Random, { contextLength, vocabSize }: ClipConfig["text"]) {
  const inputIds = new Int32Array(batchSize * contextLength);
  const endOfText = Int32Array.from({ length: batchSize }, () => 3 + random.integer(contextLength - 3));
  for (let row = 0; row < batchSize; row++) {
    for (let at = 0; at <= endOfText[row]!; at++) inputIds[row * contextLength + at] = random.integer(vocabSize - 2);
  }
  for (const [from, to] of [
    [6, 7],
    [1, 4],
  ] as const) {
    inputIds.copyWithin(to * contextLength, from * contextLength, (from + 1) * contextLength);
    endOfText[to] = endOfText[from]!;
  }
  return { inputIds, endOfText, captionGroup: Int32Array.of(0, 1, 2, 3, 1, 5, 6, 6) };
}

function shareOf(batch: RandomBatch, first: number, count: number): PairTensors {
  const rows = <Values extends Float32Array | Int32Array>(values: Values) => {
    const width = values.length / batchSize;
    return values.slice(first * width, (first + count) * width) as Values;
  };
  const textsOf = ({ inputIds, endOfText, captionGroup }: Omit<PairTensors, "pixelValues">) => ({
    ...{ inputIds: rows(inputIds), endOfText: rows(endOfText), captionGroup: rows(captionGroup) },
  });
  const { pixelValues, synthetic } = batch;
  const written = synthetic && {
    ...{ writtenIds: rows(synthetic.writtenIds), tokenWeights: rows(synthetic.tokenWeights) },
  };
  return {
    ...{ pixelValues: rows(pixelValues), ...textsOf(batch) },
    synthetic: synthetic && { ...textsOf(synthetic), ...written! },
  };
}
