import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { randomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { Random } from "../../core/random.ts";
import { float32 } from "../../core/tensor-data.ts";
import { ClipEncoder, collect } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import { drawPerClass, scoreHead, type SweepPoint, trainProbe, zeroShotHead } from "./linear-probe.ts";
import { headLogits, type LabelledFeatures, LogisticRegression } from "./logistic-regression.ts";

const seed = 20_260_803;
const classNames = ["a", "b", "c"];
const width = 8;

/** Noisy classes: a head without penalty learns the noise. */
function randomImages(random: Random, count: number, centres: readonly number[]): LabelledFeatures {
  const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
  const data = Array.from(labels).flatMap((label) =>
    Array.from({ length: width }, (_, j) => 0.6 * centres[label * width + j]! + random.normal()),
  );
  return { features: float32(data, [count, width]), labels };
}

describe(`a linear probe (seed ${seed})`, () => {
  const random = new Random(seed);
  const centres = Array.from({ length: 3 * width }, () => random.normal());
  const [train, validation] = [60, 300].map((count) => randomImages(random, count, centres)) as [
    LabelledFeatures,
    LabelledFeatures,
  ];

  it("searches λ from seven values to eighths of a decade around the best, and fits that again to all", async () => {
    const told: SweepPoint[] = [];
    const probe = await trainProbe(train, classNames, { validation, onPoint: (point) => void told.push(point) });
    const exponents = told.map(({ lambda }) => Math.log10(lambda));
    expect(exponents.slice(0, 7).map(Math.round)).toEqual([6, 4, 2, 0, -2, -4, -6]);
    expect(probe.sweep.map(({ lambda }) => lambda)).toEqual(told.map(({ lambda }) => lambda).sort((a, b) => a - b));

    // What was chosen is the best of what was tried, and its neighbours an eighth of a decade away were.
    const chosen = probe.sweep.find(({ lambda }) => lambda === probe.lambda)!;
    for (const point of probe.sweep) {
      expect(point.accuracy).toBeLessThanOrEqual(chosen.accuracy);
      if (point.accuracy === chosen.accuracy)
        expect(point.negativeLogLikelihood).toBeGreaterThanOrEqual(chosen.negativeLogLikelihood);
    }
    const at = Math.log10(probe.lambda);
    for (const neighbour of [at - 1 / 8, at + 1 / 8])
      expect(exponents.some((exponent) => Math.abs(exponent - neighbour) < 1e-9)).toBe(true);

    const labels = Int32Array.from([...train.labels, ...validation.labels]);
    const data = [...train.features.data, ...validation.features.data];
    await using regression = await LogisticRegression.compile({ features: float32(data, [360, width]), labels }, 3);
    expect(probe.objective / (await regression.fit(probe.lambda)).objective).toBeCloseTo(1, 6);
  });

  it("holds out a fifth of each class by the seed, where no validation images are given", async () => {
    const first = await trainProbe(train, classNames, { seed: 1 });
    // 12 images are held out: accuracies are twelfths, or sums of quarters over classes.
    for (const { accuracy } of first.sweep) expect((12 * accuracy) % 1).toBeCloseTo(0, 9);
    const other = await trainProbe(train, classNames, { seed: 2 });
    expect(other.sweep.map((point) => point.negativeLogLikelihood)).not.toEqual(
      first.sweep.map((point) => point.negativeLogLikelihood),
    );
  });

  it("takes λ as it is given, and says what is missing where nothing can be held out", async () => {
    const few = { features: float32(new Float32Array(4 * width), [4, width]), labels: Int32Array.of(0, 1, 1, 2) };
    await expect(trainProbe(few, classNames)).rejects.toThrow(/the class "a" has fewer than two images/);
    expect(await trainProbe(few, classNames, { lambda: 2 })).toMatchObject({ lambda: 2, sweep: [] });
  });
});

describe("scoreHead", () => {
  it("counts by image and by class", async () => {
    const head = { weight: float32([1, 0, 0, 1, -1, -1], [3, 2]), bias: float32([0, 0, 0], [3]) };
    const features = float32([2, 0, 3, 1, 0, 1, 5, 0], [4, 2]);
    const scores = await scoreHead(head, { features, labels: Int32Array.of(0, 0, 1, 1) });
    expect(scores).toMatchObject({ accuracy: 0.75, meanPerClass: 0.75, perClass: [1, 0.5, NaN] });
    const nll = (own: number, ...all: number[]) => Math.log(all.reduce((sum, x) => sum + Math.exp(x), 0)) - own;
    const wanted = nll(2, 2, 0, -2) + nll(3, 3, 1, -4) + nll(1, 0, 1, -1) + nll(0, 5, 0, -5);
    expect(scores.negativeLogLikelihood).toBeCloseTo(wanted / 4, 6);
    const uneven = await scoreHead(head, { features, labels: Int32Array.of(0, 0, 0, 1) });
    expect([uneven.accuracy, uneven.meanPerClass]).toEqual([0.5, 1 / 3]);
  });
});

describe("drawPerClass", () => {
  const labels = [0, 1, 0, 1, 1, 2, 0, 0];

  it("draws so many of each class, the same by the same seed whatever the other classes are", () => {
    const drawn = drawPerClass(labels, () => 1, 5);
    expect(drawn.map((i) => labels[i]).sort()).toEqual([0, 1, 2]);
    expect(drawPerClass(labels.slice(0, 7), () => 1, 5).filter((i) => labels[i] !== 0)).toEqual(
      drawn.filter((i) => labels[i] !== 0),
    );
    expect(drawPerClass(labels, (count) => count, 5)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("draws each as often as the others", () => {
    const counts = new Float64Array(labels.length);
    for (let draw = 0; draw < 2000; draw++) for (const i of drawPerClass(labels, () => 1, draw)) counts[i]! += 1;
    // Four of class 0: 500 each, standard deviation 19.
    for (const i of [0, 2, 6, 7]) expect(Math.abs(counts[i]! - 500)).toBeLessThan(5 * 19);
  });
});

describe("zeroShotHead", async () => {
  const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(await temporaryFolder(), "model"))));
  afterAll(() => encoder.release());

  it("gives the probabilities of zero-shot classification", async () => {
    const names = ["red apple", "green tree", "blue sea"];
    const templates = ["a picture of a {}", "the {}"];
    const [embed] = await collect(encoder.encodeImages([randomImage(1)]));
    const ranked = (await ZeroShotClassifier.create(encoder, names, { templates })).rank(embed!);
    const head = await zeroShotHead(encoder, names, { templates });
    const logits = await headLogits(head, float32(embed!, [1, embed!.length]));
    const data = logits.data as Float32Array;
    const total = data.reduce((sum, logit) => sum + Math.exp(logit), 0);
    for (const { label, probability } of ranked)
      expect(Math.exp(data[names.indexOf(label)]!) / total).toBeCloseTo(probability, 5);
  });
});
