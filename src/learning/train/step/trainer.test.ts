import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { type Snapshot, snapshotOf } from "../../../../test/train/snapshot.ts";
import { tinyResNet, tinyVit } from "../../../../test/train/tiny-run.ts";
import { Random } from "../../../core/random.ts";
import { isLora, mergeLora } from "../../../model/pretrained/lora.ts";
import { relativeError } from "../../parity/compare.ts";
import { type ClipConfig, type VitConfig } from "../../../model/towers/config.ts";
import { initializeParameters, parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { type TrainerOptions, Trainer } from "./trainer.ts";
import { restoreState } from "./trainer-state.ts";
import type { PairTensors } from "../batches/pair-tensors.ts";
import type { SyntheticCaptionsObjective } from "../batches/synthetic-captions.ts";
import { trainEverything } from "./trained-parameters.ts";

const vocabSize = tinyVit.text.vocabSize;
const groupNorm: ClipConfig = {
  ...tinyResNet,
  vision: { kind: "resnet", imageSize: 16, width: 16, layers: [1, 1], heads: 2, norm: "group" },
};

/** Scores by sigmoids, texts read at their last place, images by a probe. */
const siglip: ClipConfig = {
  ...tinyVit,
  embedDim: 32,
  score: "sigmoid",
  vision: { ...(tinyVit.vision as VitConfig), pool: "probe" },
  text: { ...tinyVit.text, causal: false, pool: "last", projectionBias: true },
};

/** Two texts of each image, of which a decoder learns to write the second. */
const clips: SyntheticCaptionsObjective = { decoderWeight: 2, captionLength: 6 };
const decoding: ClipConfig = { ...tinyVit, text: { ...tinyVit.text, layers: 2 }, decoder: { length: 6 } };

const opened: Trainer[] = [];
afterEach(async () => {
  for (const trainer of opened.splice(0)) await trainer[Symbol.asyncDispose]();
});

/** A trainer for batches of 8 with the start values of seed 1 but for these. */
async function createTrainer(
  change: Partial<TrainerOptions> = {},
  values: Readonly<Record<string, Float32Array>> = {},
): Promise<Trainer> {
  const options: TrainerOptions = {
    config: tinyVit,
    batchSize: 8,
    chunkSize: 8,
    gradClipNorm: undefined,
    emaDecay: undefined,
    checkpointBlocks: false,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weightDecay: 0.2,
    labelSmoothing: 0,
    patchDropout: 0,
    seed: 0,
    ...trainEverything,
    ...change,
  };
  const initial = Array.from(
    initializeParameters(clipParameters(options.config), 1),
    ([path, { data }]) => [path, data] as const,
  );
  const trainer = await Trainer.create(options, new Map([...initial, ...Object.entries(values)]));
  opened.push(trainer);
  return trainer;
}

/** Eight texts of random words; the last two are one. */
function randomTexts(random: Random) {
  const { contextLength } = tinyVit.text;
  const inputIds = new Int32Array(8 * contextLength);
  const endOfText = Int32Array.from({ length: 8 }, () => 3 + random.integer(contextLength - 3));
  for (let row = 0; row < 8; row++) {
    for (let at = 0; at <= endOfText[row]!; at++) inputIds[row * contextLength + at] = random.integer(vocabSize - 2);
  }
  inputIds.copyWithin(7 * contextLength, 6 * contextLength);
  endOfText[7] = endOfText[6]!;
  return { inputIds, endOfText, captionGroup: Int32Array.of(0, 1, 2, 3, 4, 5, 6, 6) };
}

/** Eight pairs of random pixels and words; for the objective clips with synthetic captions of 1 to 6 tokens. */
function randomBatch(
  seed: number,
  { objective }: Partial<TrainerOptions> = {},
): PairTensors & { readonly pixelValues: Float32Array } {
  const random = new Random(seed);
  const { imageSize } = tinyVit.vision;
  const texts = randomTexts(random);
  const pixelValues = Float32Array.from({ length: 8 * 3 * imageSize ** 2 }, () => random.normal());
  if (!objective) return { pixelValues, ...texts };
  const lengths = Array.from({ length: 8 }, () => 1 + random.integer(6));
  const total = lengths.reduce((sum, length) => sum + length);
  return {
    pixelValues,
    ...texts,
    synthetic: {
      ...randomTexts(random),
      writtenIds: Int32Array.from({ length: 8 * 6 }, () => random.integer(vocabSize)),
      tokenWeights: Float32Array.from({ length: 8 * 6 }, (_, i) =>
        i % 6 < lengths[Math.floor(i / 6)]! ? 1 / total : 0,
      ),
    },
  };
}

/** Equal for states that are equal to the bit. */
function digestOf({ steps, arrays }: Snapshot): string {
  const hash = createHash("sha256").update(`${steps}`);
  for (const [name, values] of arrays) hash.update(name).update(values);
  return hash.digest("hex");
}

/** The gradients of a first step as the optimiser got them: it keeps a tenth. */
async function firstGradients(trainer: Trainer): Promise<Map<string, Float32Array>> {
  const first = (await snapshotOf(trainer.state)).of("first");
  return new Map(Array.from(first, ([path, values]) => [path, values.map((value) => value * 10)]));
}

const norm = (values: Iterable<number>) => Math.sqrt(Array.from(values).reduce((sum, value) => sum + value ** 2, 0));
const normOfAll = (values: ReadonlyMap<string, Float32Array>) => norm(Array.from(values.values(), norm));

/** A gradient without what is truly 0 in it: no softmax sees a shift of all its keys. */
function seen(path: string, values: Float32Array): Float32Array {
  if (path === "vision.attentionPool.k.bias") return new Float32Array(1).fill(1);
  const third = values.length / 3;
  return path.endsWith("attn.qkv.bias")
    ? Float32Array.of(...values.subarray(0, third), ...values.subarray(2 * third))
    : values;
}

/** The largest difference of a tensor in units of its size, or of a thousandth of all tensors' where it is smaller. */
function relativeDifference(met: ReadonlyMap<string, Float32Array>, wanted: ReadonlyMap<string, Float32Array>): number {
  expect([...met.keys()]).toEqual([...wanted.keys()]);
  const least = normOfAll(wanted) / 1000;
  const differences = Array.from(met, ([path, values]) => {
    const other = wanted.get(path)!;
    return norm(values.map((value, i) => value - other[i]!)) / Math.max(norm(other), least);
  });
  return Math.max(...differences);
}

describe("a step", () => {
  // Measured: losses 2.4e-7, norms 1.6e-7, gradients 1.3e-6 and parameters 6.9e-7 apart; blocks computed again, none.
  it.each([
    ["vit in chunks of 2", tinyVit, { chunkSize: 2 }],
    ["vit in chunks of 1", tinyVit, { chunkSize: 1 }],
    ["group-normed resnet in chunks of 2", groupNorm, { chunkSize: 2 }],
    ["siglip in chunks of 2", siglip, { chunkSize: 2 }],
    ["vit with a decoder in chunks of 2", decoding, { objective: clips, chunkSize: 2 }],
    ["vit with a decoder and blocks computed again", decoding, { objective: clips, checkpointBlocks: true }],
    [
      "vit with a decoder that sees half of the patches, in chunks of 4",
      decoding,
      { objective: clips, chunkSize: 4, patchDropout: 0.5 },
    ],
    ["vit that sees half of its patches, in chunks of 2", tinyVit, { chunkSize: 2, patchDropout: 0.5 }],
    ["vit with blocks computed again", tinyVit, { checkpointBlocks: true }],
    ["vit with both", tinyVit, { chunkSize: 4, checkpointBlocks: true }],
  ])("has the same loss, gradients and update of a %s as of the whole batch at once", async (_, config, change) => {
    // So large an epsilon makes the update proportional to the gradient, nearly.
    const options = { config, epsilon: 10, ...change };
    const [whole, cut] = [
      await createTrainer({ ...options, chunkSize: 8, checkpointBlocks: false }),
      await createTrainer(options),
    ];
    const [wanted, met] = [
      await whole.step(randomBatch(2, options), 0.1),
      await cut.step(randomBatch(2, options), 0.1),
    ];
    expect(Math.abs(met.loss / wanted.loss - 1)).toBeLessThan(1e-6);
    expect(Math.abs(met.gradientNorm / wanted.gradientNorm - 1)).toBeLessThan(1e-5);
    expect(relativeDifference(await firstGradients(cut), await firstGradients(whole))).toBeLessThan(1e-5);
    const [after, wantedAfter] = [await snapshotOf(cut.state), await snapshotOf(whole.state)];
    expect(relativeDifference(after.of("parameter"), wantedAfter.of("parameter"))).toBeLessThan(1e-5);
    expect(met.logitScale).toBeCloseTo(wanted.logitScale, 6);
    for (const spread of ["imageSpread", "textSpread"] as const) {
      expect(wanted[spread]).toBeGreaterThan(0.01);
      expect(met[spread]).toBeCloseTo(wanted[spread], 5);
    }
  });

  it("reports a spread of 0 where all images or all texts are alike", async () => {
    const trainer = await createTrainer();
    const batch = randomBatch(4);
    const [pixels, words] = [batch.pixelValues.length / 8, batch.inputIds.length / 8];
    const same = {
      pixelValues: batch.pixelValues.map((_, i) => batch.pixelValues[i % pixels]!),
      inputIds: batch.inputIds.map((_, i) => batch.inputIds[i % words]!),
      endOfText: batch.endOfText.map(() => batch.endOfText[0]!),
    };
    const ofImages = await trainer.step({ ...batch, pixelValues: same.pixelValues }, 1e-6);
    expect(Math.abs(ofImages.imageSpread)).toBeLessThan(1e-5);
    expect(ofImages.textSpread).toBeGreaterThan(0.01);
    const ofTexts = await trainer.step({ ...batch, inputIds: same.inputIds, endOfText: same.endOfText }, 1e-6);
    expect(Math.abs(ofTexts.textSpread)).toBeLessThan(1e-5);
    expect(ofTexts.imageSpread).toBeGreaterThan(0.01);
  });

  // What the optimiser is given, before it divides by anything: Adam alone would hide a wrong scale.
  it.each([
    ["vit", tinyVit, {}],
    ["vit, clipped", tinyVit, { gradClipNorm: 0.1 }],
    ["vit with smoothed labels, clipped", tinyVit, { gradClipNorm: 0.1, labelSmoothing: 0.1 }],
    ["siglip", siglip, {}],
    ["siglip, clipped", siglip, { gradClipNorm: 0.1 }],
    ["vit with a decoder", decoding, { objective: clips }],
    ["vit with a decoder, clipped", decoding, { objective: clips, gradClipNorm: 0.1 }],
    ["siglip with two texts an image", siglip, { objective: { ...clips, decoderWeight: 0 } }],
    ["group-normed resnet with a decoder", { ...groupNorm, decoder: { length: 6 } }, { objective: clips }],
    ["group-normed resnet, clipped", groupNorm, { gradClipNorm: 0.1 }],
  ])("in chunks has each parameter's gradient of the whole batch to 1e-5, %s", async (_, config, change) => {
    const options = { config, ...change };
    // A bottleneck starts as its shortcut, and has no gradients then.
    const gains = () => {
      const specs = parameterSpecs(clipParameters(config));
      const paths = [...specs.keys()].filter((path) => path.endsWith("conv3.norm.weight"));
      return Object.fromEntries(paths.map((path) => [path, new Float32Array(specs.get(path)!.shape[0]!).fill(0.5)]));
    };
    const [whole, cut] = [
      await createTrainer(options, gains()),
      await createTrainer({ ...options, chunkSize: 2 }, gains()),
    ];
    for (const trainer of [whole, cut]) await trainer.step(randomBatch(2, options), 1e-3);
    const [wanted, met] = [await firstGradients(whole), await firstGradients(cut)];
    expect([...met.keys()]).toEqual([...wanted.keys()]);
    const errors = Array.from(
      met,
      ([path, values]) => [path, relativeError(seen(path, values), seen(path, wanted.get(path)!))] as const,
    );
    // Measured: at most 1.1e-6.
    expect(errors.filter(([, error]) => !(error < 1e-5))).toEqual([]);
    if ("gradClipNorm" in change) expect(normOfAll(met)).toBeCloseTo(0.1, 5);
  });

  it("reports the norm of the gradients that it uses", async () => {
    const trainer = await createTrainer();
    const { gradientNorm } = await trainer.step(randomBatch(3), 1e-3);
    expect(Math.abs(gradientNorm / normOfAll(await firstGradients(trainer)) - 1)).toBeLessThan(1e-6);
  });

  it("scales gradients above the limit down to it, as PyTorch does, and reports their norm before", async () => {
    const free = await createTrainer();
    const { gradientNorm } = await free.step(randomBatch(3), 1e-3);
    const wanted = await firstGradients(free);
    for (const part of [0.25, 0.999]) {
      const gradClipNorm = part * gradientNorm;
      const clipped = await createTrainer({ gradClipNorm });
      expect((await clipped.step(randomBatch(3), 1e-3)).gradientNorm).toBe(gradientNorm);
      const factor = gradClipNorm / (gradientNorm + 1e-6);
      const scaled = new Map(Array.from(wanted, ([path, values]) => [path, values.map((value) => value * factor)]));
      expect(relativeDifference(await firstGradients(clipped), scaled)).toBeLessThan(1e-6);
    }
    const loose = await createTrainer({ gradClipNorm: 1.001 * gradientNorm });
    await loose.step(randomBatch(3), 1e-3);
    expect(digestOf(await snapshotOf(loose.state))).toBe(digestOf(await snapshotOf(free.state)));
  });

  it("keeps logitScale between 0 and ln 100", async () => {
    const highest = Math.fround(Math.log(100));
    for (const [start, wanted] of [
      [4.7, highest],
      [-0.5, 0],
    ] as const) {
      const trainer = await createTrainer({}, { logitScale: Float32Array.of(start) });
      expect((await trainer.step(randomBatch(4), 1e-3)).logitScale).toBe(wanted);
      expect((await snapshotOf(trainer.state)).of("parameter").get("logitScale")).toEqual(Float32Array.of(wanted));
    }
  });

  it("lets weight decay shrink matrices, kernels and tables, and nothing else", async () => {
    const [free, decayed] = [await createTrainer({ weightDecay: 0 }), await createTrainer({ weightDecay: 0.5 })];
    for (const trainer of [free, decayed]) await trainer.step(randomBatch(5), 0.01);
    const [without, start] = [
      (await snapshotOf(free.state)).of("parameter"),
      initializeParameters(clipParameters(tinyVit), 1),
    ];
    for (const [path, values] of (await snapshotOf(decayed.state)).of("parameter")) {
      const { shape, data } = start.get(path)!;
      const shrunk = shape.length >= 2 ? 0.005 : 0;
      const wanted = without.get(path)!.map((value, i) => value - shrunk * data[i]!);
      expect(norm(values.map((value, i) => value - wanted[i]!)), path).toBeLessThanOrEqual(1e-6 * norm(wanted));
    }
  });

  it.each([
    ["a loss that is no number", NaN, 1, {}],
    ["a loss that is no number, in chunks", NaN, 1, { chunkSize: 4 }],
    // Features so short that bringing them to unit length has slopes whose squares overflow.
    ["gradients beyond float32, of a finite loss", 0, 1e-19, {}],
  ])("changes nothing after %s", async (_, pixelValue, projectionScale, change) => {
    const { data } = initializeParameters(clipParameters(tinyVit), 1).get("vision.projection")!;
    const values = { "vision.projection": data.map((value) => value * projectionScale) };
    const trainer = await createTrainer({ emaDecay: 0.9, ...change }, values);
    const before = digestOf(await snapshotOf(trainer.state));
    const batch = randomBatch(7);
    batch.pixelValues[100] = pixelValue;
    const { loss, gradientNorm, logitScale } = await trainer.step(batch, 1e-3);
    expect(Number.isFinite(loss)).toBe(!Number.isNaN(pixelValue));
    expect(Number.isFinite(gradientNorm)).toBe(false);
    expect(logitScale).toBeCloseTo(Math.log(1 / 0.07), 6);
    expect(digestOf(await snapshotOf(trainer.state))).toBe(before);
    expect(Number.isFinite((await trainer.step(randomBatch(8), 1e-3)).loss)).toBe(true);
  });
});

describe("a locked tower", () => {
  const deep: ClipConfig = { ...tinyVit, vision: { ...(tinyVit.vision as VitConfig), layers: 3 } };

  it.each([
    ["image", { lockImage: true }, /^(?:text\.|logit)/],
    ["text", { lockText: true }, /^(?:vision\.|logit)/],
    [
      "image but for its last block, in chunks",
      { lockImage: true, unlockedImageBlocks: 1, chunkSize: 2 },
      /^(?:vision\.(?:blocks\.2|lnPost|projection)|text\.|logit)/,
    ],
    ["image, in chunks", { lockImage: true, chunkSize: 2 }, /^(?:text\.|logit)/],
  ])("%s: has no moments and stays as it is; the rest is trained as without a lock", async (_, change, trained) => {
    const [free, locked] = [await createTrainer({ config: deep }), await createTrainer({ config: deep, ...change })];
    for (const trainer of [free, locked]) await trainer.step(randomBatch(2), 1e-2);
    const wanted = [...(await firstGradients(free))].filter(([path]) => trained.test(path));
    expect(relativeDifference(await firstGradients(locked), new Map(wanted))).toBeLessThan(1e-5);
    const start = initializeParameters(clipParameters(deep), 1);
    for (const [path, values] of (await snapshotOf(locked.state)).of("parameter")) {
      const moved = norm(values.map((value, i) => value - start.get(path)!.data[i]!)) > 0;
      expect(moved, path).toBe(trained.test(path));
    }
  });

  it("of batch norm keeps its running statistics, and computes with them", async () => {
    const values = { "vision.stem.0.norm.runningMean": new Float32Array(4).fill(0.3) };
    const trainer = await createTrainer({ config: tinyResNet, lockImage: true, chunkSize: 4 }, values);
    const before = [...(await snapshotOf(trainer.state)).of("parameter")].filter(([path]) =>
      path.startsWith("vision."),
    );
    const { loss } = await trainer.step(randomBatch(3), 1e-2);
    const after = [...(await snapshotOf(trainer.state)).of("parameter")].filter(([path]) => path.startsWith("vision."));
    expect(after).toEqual(before);
    expect((await (await createTrainer({ config: tinyResNet }, values)).step(randomBatch(3), 1e-2)).loss).not.toBe(
      loss,
    );
  });
});

describe("changes of low rank", () => {
  const lora = { rank: 3, alpha: 6 };
  const changed: ClipConfig = {
    ...tinyVit,
    vision: { ...(tinyVit.vision as VitConfig), lora },
    text: { ...tinyVit.text, lora },
  };
  /** The start with changes that are not 0. */
  const start = () => {
    const random = new Random(11);
    const values = initializeParameters(clipParameters(changed), 1);
    for (const [path, { data }] of values)
      if (path.endsWith(".up")) data.forEach((_, i) => (data[i] = 0.1 * random.normal()));
    return values;
  };
  const numbersOf = (values: ReadonlyMap<string, { readonly data: Float32Array }>) =>
    Object.fromEntries(Array.from(values, ([path, { data }]) => [path, data]));

  it("give the features of the weights that they are merged into, to 1e-6", async () => {
    const merged = mergeLora(start(), lora);
    expect([...merged.keys()]).toEqual([...parameterSpecs(clipParameters(tinyVit)).keys()]);
    const [apart, whole, plain] = [
      await createTrainer({ config: changed }, numbersOf(start())),
      await createTrainer({}, numbersOf(merged)),
      await createTrainer({}, numbersOf(new Map([...start()].filter(([path]) => merged.has(path))))),
    ];
    const { pixelValues, inputIds, endOfText } = randomBatch(12);
    const [images, texts] = [await apart.encodeImages(pixelValues), await apart.encodeTexts(inputIds, endOfText)];
    // Measured: 4.4e-7.
    expect(relativeError(images, await whole.encodeImages(pixelValues))).toBeLessThan(1e-6);
    expect(relativeError(texts, await whole.encodeTexts(inputIds, endOfText))).toBeLessThan(1e-6);
    expect(relativeError(images, await plain.encodeImages(pixelValues))).toBeGreaterThan(0.01);
  });

  it.each([{}, { chunkSize: 2 }])(
    "alone are trained, by the gradient of the weights that they change: %j",
    async (change) => {
      const values = start();
      const trainer = await createTrainer({ config: changed, ...change }, numbersOf(start()));
      const plain = await createTrainer({}, numbersOf(mergeLora(start(), lora)));
      for (const each of [trainer, plain]) await each.step(randomBatch(13), 1e-2);
      const [met, dW] = [await firstGradients(trainer), await firstGradients(plain)];
      expect(new Set(met.keys())).toEqual(new Set([...values.keys()].filter(isLora)));
      for (const [path, gradient] of met) {
        const of = path.slice(0, path.indexOf(".lora."));
        const slopes = dW.get(`${of}.weight`)!;
        const [down, up] = [values.get(`${of}.lora.down`)!, values.get(`${of}.lora.up`)!];
        const [out, input] = [up.shape[0]!, down.shape[1]!];
        const wanted = new Float64Array(gradient.length);
        for (let i = 0; i < out; i++)
          for (let j = 0; j < input; j++)
            for (let r = 0; r < 3; r++) {
              const dw = 2 * slopes[i * input + j]!;
              if (path.endsWith(".down")) wanted[r * input + j]! += up.data[i * 3 + r]! * dw;
              else wanted[i * 3 + r]! += down.data[r * input + j]! * dw;
            }
        expect(relativeError(gradient, wanted), path).toBeLessThan(1e-5);
      }
      for (const [path, now] of (await snapshotOf(trainer.state)).of("parameter"))
        expect(relativeError(now, values.get(path)!.data) > 0, path).toBe(isLora(path));
    },
  );
});

describe("the objective clips", () => {
  const contrastive = { ...clips, decoderWeight: 0 };
  /** A batch whose synthetic captions are its captions. */
  const saidTwice = (seed: number) => {
    const { pixelValues, ...texts } = randomBatch(seed);
    const nothing = { writtenIds: new Int32Array(0), tokenWeights: new Float32Array(0) };
    return { pixelValues, ...texts, synthetic: { ...texts, ...nothing } };
  };

  it.each([{}, { chunkSize: 2 }, { labelSmoothing: 0.1 }, { config: siglip }])(
    "is that of the model where nothing is written and both texts are one, in loss and gradients: %j",
    async (change) => {
      const [plain, trainer] = [
        await createTrainer(change),
        await createTrainer({ ...change, objective: contrastive }),
      ];
      const { loss, ...rest } = await trainer.step(saidTwice(2), 1e-2);
      const wanted = await plain.step(randomBatch(2), 1e-2);
      // Two halves of a number are it; in the gradients sums over twice as many texts are rounded otherwise. Measured: losses alike,
      // gradients 5.6e-7 apart.
      expect(Math.abs(loss / wanted.loss - 1)).toBeLessThan(2e-7);
      expect(Object.keys(rest)).not.toContain("captionLoss");
      const [met, gradients] = [await firstGradients(trainer), await firstGradients(plain)];
      expect([...met.keys()]).toEqual([...gradients.keys()]);
      for (const [path, values] of met)
        expect(relativeError(seen(path, values), seen(path, gradients.get(path)!)), path).toBeLessThan(5e-6);
    },
  );

  it("is the mean of what each text alone gives, and what is written by its weight", async () => {
    const batch = randomBatch(3, { objective: clips });
    const { pixelValues, inputIds, endOfText, captionGroup, synthetic } = batch;
    const lossOf = async (change: Partial<TrainerOptions>, pairs: PairTensors) =>
      (await createTrainer({ config: { ...decoding, decoder: undefined }, ...change })).step(pairs, 1e-3);
    const first = await lossOf({}, { pixelValues, inputIds, endOfText, captionGroup });
    const second = await lossOf({}, { pixelValues, ...synthetic! });
    const trainer = await createTrainer({ config: decoding, objective: clips });
    const { loss, contrastiveLoss, captionLoss, logitScale } = await trainer.step(batch, 1e-3);
    expect(contrastiveLoss).toBeCloseTo((first.loss + second.loss) / 2, 5);
    expect(loss).toBe(contrastiveLoss! + 2 * captionLoss!);
    // A decoder that knows nothing has the logarithm of the vocabulary, about.
    expect(Math.abs(captionLoss! - Math.log(vocabSize))).toBeLessThan(0.6);
    expect(logitScale).toBeGreaterThan(2);
  });

  it("learns to write: each place its token, of its own image", async () => {
    const trainer = await createTrainer({ config: decoding, objective: clips, weightDecay: 0 });
    const losses: number[] = [];
    for (let step = 0; step < 60; step++)
      losses.push((await trainer.step(randomBatch(4, { objective: clips }), 1e-2)).captionLoss!);
    // Measured: 6.5 at first.
    expect(losses[0]).toBeGreaterThan(5);
    expect(losses.at(-1)).toBeLessThan(0.1);
  });

  it("trains the decoder beside changes of low rank, with decay for its matrices and queries", async () => {
    const lora = { rank: 2, alpha: 2 };
    const config = { ...decoding, text: { ...decoding.text, lora } };
    const trainer = await createTrainer({ config, objective: clips });
    const before = (await snapshotOf(trainer.state)).of("parameter");
    await trainer.step(randomBatch(5, { objective: clips }), 1e-2);
    for (const [path, values] of (await snapshotOf(trainer.state)).of("parameter")) {
      const isTrained = isLora(path) || path.startsWith("decoder.");
      // down of a change that starts as none has no gradient, but decays.
      expect(relativeError(values, before.get(path)!) > 0, path).toBe(isTrained);
    }
  });
});

describe("patch dropout", () => {
  it("shows each image by some of its patches, others in the next step and with another seed", async () => {
    const losses: number[] = [];
    for (const change of [{ seed: 0 }, { seed: 0 }, { seed: 1 }, { patchDropout: 0 }]) {
      const trainer = await createTrainer({ patchDropout: 0.5, ...change });
      for (let step = 0; step < 2; step++) losses.push((await trainer.step(randomBatch(2), 0)).loss);
    }
    const [first, second, again, secondAgain, other, , all, allAgain] = losses;
    expect([again, secondAgain]).toEqual([first, second]);
    expect(new Set([first, second, other, all]).size).toBe(4);
    expect(allAgain).toBe(all);
  });
});

describe("label smoothing", () => {
  it("is in the loss of the whole batch and of chunks alike", async () => {
    const losses: number[] = [];
    for (const change of [{}, { labelSmoothing: 0.2 }, { labelSmoothing: 0.2, chunkSize: 2 }]) {
      losses.push((await (await createTrainer(change)).step(randomBatch(2), 1e-3)).loss);
    }
    expect(losses[2]).toBeCloseTo(losses[1]!, 5);
    expect(Math.abs(losses[1]! - losses[0]!)).toBeGreaterThan(1e-3);
  });
});

describe("batch norm's running statistics", () => {
  const statistics = (state: Snapshot, name: string) =>
    new Map([...state.of("parameter")].filter(([path]) => path.startsWith("vision.stem.0.") && path.endsWith(name)));

  it("move by a tenth a step, and do so by all chunks alike", async () => {
    const whole = await createTrainer({ config: tinyResNet });
    await whole.step(randomBatch(8), 0);
    const cut = await createTrainer({ config: tinyResNet, chunkSize: 2 });
    await cut.step(randomBatch(8), 0);
    // The first norm of the net sees the same numbers whatever the chunks, so the mean over all is the same.
    const [wanted, met] = [
      statistics(await snapshotOf(whole.state), "runningMean"),
      statistics(await snapshotOf(cut.state), "runningMean"),
    ];
    expect(normOfAll(wanted)).toBeGreaterThan(0);
    expect(relativeDifference(met, wanted)).toBeLessThan(1e-5);
    // Variances start at 1; a chunk of two images has about that of the batch.
    for (const trainer of [whole, cut]) {
      const [values] = statistics(await snapshotOf(trainer.state), "runningVar").values();
      for (const value of values!) {
        expect(value).toBeGreaterThan(0.9);
        expect(value).toBeLessThan(1.1);
      }
    }
  });
});

describe("the moving average of the weights", () => {
  it("keeps the given share, less in the first steps, and is what images and texts are encoded with", async () => {
    const trainer = await createTrainer({ emaDecay: 0.3 });
    const average = new Map(
      Array.from(initializeParameters(clipParameters(tinyVit), 1), ([path, { data }]) => [
        path,
        Float64Array.from(data),
      ]),
    );
    for (const t of [1, 2, 3, 4]) {
      await trainer.step(randomBatch(t), 0.01);
      const keep = Math.min(0.3, (1 + t) / (10 + t));
      expect(keep < 0.3).toBe(t < 3);
      for (const [path, values] of (await snapshotOf(trainer.state)).of("parameter")) {
        const mean = average.get(path)!;
        values.forEach((value, i) => (mean[i] = mean[i]! * keep + value * (1 - keep)));
      }
    }
    const state = await snapshotOf(trainer.state);
    const wanted = new Map(Array.from(average, ([path, values]) => [path, Float32Array.from(values)]));
    expect(relativeDifference(state.of("average"), wanted)).toBeLessThan(1e-6);
    expect(relativeDifference(state.of("average"), state.of("parameter"))).toBeGreaterThan(1e-3);

    const plain = await createTrainer({}, Object.fromEntries(state.of("average")));
    const { pixelValues, inputIds, endOfText } = randomBatch(9);
    expect(await trainer.encodeImages(pixelValues)).toEqual(await plain.encodeImages(pixelValues));
    expect(await trainer.encodeTexts(inputIds, endOfText)).toEqual(await plain.encodeTexts(inputIds, endOfText));
  });
});

describe("a state", () => {
  it.each([
    ["vit", { emaDecay: 0.9 }],
    ["vit in chunks", { chunkSize: 4 }],
    ["vit that sees half of its patches", { patchDropout: 0.5 }],
    ["vit whose image tower is locked", { lockImage: true, emaDecay: 0.9 }],
    ["siglip in chunks", { config: siglip, chunkSize: 4, emaDecay: 0.9 }],
    ["vit with a decoder in chunks", { config: decoding, objective: clips, chunkSize: 4, emaDecay: 0.9 }],
    ["resnet with batch norm", { config: tinyResNet, emaDecay: 0.9 }],
  ])("goes on to the same numbers to the bit, %s", async (_, change) => {
    const unbroken = await createTrainer(change);
    for (const s of [1, 2]) await unbroken.step(randomBatch(s, change), 1e-3);
    const state = await snapshotOf(unbroken.state);
    const resumed = await createTrainer(change);
    await resumed.step(randomBatch(17, change), 1e-3);
    await restoreState(resumed.state, state);
    for (const s of [3, 4]) {
      const batch = () => randomBatch(s, change);
      expect(await resumed.step(batch(), 1e-3)).toEqual(await unbroken.step(batch(), 1e-3));
    }
    expect(digestOf(await snapshotOf(resumed.state))).toBe(digestOf(await snapshotOf(unbroken.state)));
    expect(resumed.state.steps).toBe(4);
  });

  it("is a copy: later steps do not show in it", async () => {
    const trainer = await createTrainer({ emaDecay: 0.9 });
    const state = await snapshotOf(trainer.state);
    const kept = digestOf(state);
    await trainer.step(randomBatch(1), 1e-2);
    expect(digestOf(state)).toBe(kept);
    expect(digestOf(await snapshotOf(trainer.state))).not.toBe(kept);
  });

  it("of another model is refused", async () => {
    const wider = { ...tinyVit, embedDim: 32 };
    const state = await createTrainer({ config: wider });
    const trainer = await createTrainer();
    await expect(restoreState(trainer.state, state.state)).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message:
        "the checkpoint belongs to another model: parameter.vision.projection has 1024 elements, expected 512; resume with the run's own model, or start a new run in another folder",
    });
    const averaged = await createTrainer({ emaDecay: 0.9 });
    await expect(restoreState(averaged.state, trainer.state)).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
  });
});
