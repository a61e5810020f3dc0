import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { openSafetensors } from "../../model/checkpoints/safetensors.ts";
import { readFloats, readIntegers, readTensorBytes } from "../../model/checkpoints/stored-tensor.ts";
import { Random } from "../../core/random.ts";
import { float32 } from "../../core/tensor-data.ts";
import { largestDifference, relativeError } from "../parity/compare.ts";
import { headLogits, type LabelledFeatures, type LinearHead, LogisticRegression } from "./logistic-regression.ts";

/** Of each row. */
function softmax(logits: Float32Array, classes: number): number[] {
  return Array.from(logits, (logit, i) => {
    const row = logits.subarray(i - (i % classes), i - (i % classes) + classes);
    return 1 / row.reduce((sum, other) => sum + Math.exp(other - logit), 0);
  });
}

const fixtures = join(sharedFolder, "fixtures/linear_probe");

describe.skipIf(sharedMissing)(`logistic regression${sharedMissing}`, () => {
  it.each(["raw", "normalized"] as const)("reaches the optimum that was recorded of %s features", async (name) => {
    const { tensors } = await openSafetensors(join(fixtures, `${name}.safetensors`));
    const floats = (tensor: string) => readFloats(tensors.get(tensor)!);
    const doubles = async (tensor: string) => new Float64Array(await readTensorBytes(tensors.get(tensor)!));
    const json = JSON.parse(readFileSync(join(fixtures, "probe.json"), "utf8")) as Record<
      string,
      { readonly C: number; readonly objective: number; readonly sum_nll: number }
    >;
    const recorded = json[name]!;
    const features = await floats("features");
    const labels = (await readIntegers(tensors.get("labels")!)).data;
    await using regression = await LogisticRegression.compile({ features, labels }, 3);
    const { head, objective, negativeLogLikelihood } = await regression.fit(1 / recorded.C);

    // Measured: −3e-8 and 4e-9.
    expect(Math.abs((recorded.C * objective) / recorded.objective - 1)).toBeLessThan(1e-6);
    expect(negativeLogLikelihood / recorded.sum_nll).toBeCloseTo(1, 4);
    // Measured: 3e-5 and 3e-6 of the weights, 1e-4 and 1e-5 of the biases.
    expect(relativeError(head.weight.data, await doubles("weight"))).toBeLessThan(1e-3);
    expect(relativeError(head.bias.data, await doubles("intercept"))).toBeLessThan(1e-3);
    for (const [at, probs] of [
      ["features", "probs"],
      ["test_features", "test_probs"],
    ] as const) {
      const logits = await headLogits(head, await floats(at));
      expect(largestDifference(softmax(logits.data as Float32Array, 3), await doubles(probs))).toBeLessThan(1e-3);
    }
  });
});

const seed = 20_260_802;
const [count, width, classes] = [60, 5, 4];

/** Classes that overlap, of unequal sizes. */
function randomImages(random: Random): LabelledFeatures {
  const labels = Int32Array.from({ length: count }, (_, i) =>
    i < classes ? i : Math.floor(classes * random.uniform() ** 2),
  );
  const centres = Array.from({ length: classes * width }, () => random.normal());
  const data = Array.from(labels).flatMap((label) =>
    Array.from({ length: width }, (_, j) => centres[label * width + j]! + random.normal()),
  );
  return { features: float32(data, [count, width]), labels };
}

async function fit(images: LabelledFeatures, lambda: number, start?: LinearHead) {
  await using regression = await LogisticRegression.compile(images, classes);
  return await regression.fit(lambda, { start });
}

describe(`logistic regression of random features (seed ${seed})`, () => {
  const random = new Random(seed);
  const images = randomImages(random);
  const { data } = images.features;

  it("has at its end weights that are the gradient of the likelihood over λ", async () => {
    const lambda = 0.7;
    const { head } = await fit(images, lambda);
    const logits = (await headLogits(head, images.features)).data as Float32Array;
    const wanted = new Float64Array(classes * width);
    softmax(logits, classes).forEach((probability, i) => {
      const [image, c] = [Math.floor(i / classes), i % classes];
      const error = (images.labels[image] === c ? 1 : 0) - probability;
      for (let j = 0; j < width; j++) wanted[c * width + j]! += (error * data[image * width + j]!) / lambda;
    });
    // Measured: 8e-4, as the gradient of what is left to gain, 1e-9, is over λ. A penalty of λ in place of λ/2 would be 0.5 off.
    expect(relativeError(head.weight.data, wanted)).toBeLessThan(3e-3);
  });

  it("with a penalty that nothing outweighs answers how frequent the classes are", async () => {
    const { head } = await fit(images, 1e9);
    expect(Math.max(...head.weight.data.map(Math.abs))).toBeLessThan(1e-6);
    const shares = softmax(head.bias.data, classes);
    shares.forEach((share, c) => {
      expect(share).toBeCloseTo(images.labels.filter((label) => label === c).length / count, 4);
    });
  });

  it("stays where the penalty draws to if nothing outweighs it, and not if it is weak", async () => {
    const weight = float32(
      Float32Array.from({ length: classes * width }, () => random.normal()),
      [classes, width],
    );
    const around = { weight, bias: float32(new Float32Array(classes), [classes]) };
    await using regression = await LogisticRegression.compile(images, classes);
    const held = await regression.fit(1e6, { around });
    expect(relativeError(held.head.weight.data, weight.data)).toBeLessThan(1e-4);
    const [free, weak] = [await regression.fit(1e-2), await regression.fit(1e-2, { around })];
    expect(relativeError(weak.head.weight.data, weight.data)).toBeGreaterThan(0.5);
    expect(weak.negativeLogLikelihood / free.negativeLogLikelihood).toBeCloseTo(1, 1);
  });

  it("does not care where it starts, nor where zero is, nor into how many programs the images are split", async () => {
    const { head, objective, iterations } = await fit(images, 0.5);
    const start = {
      weight: float32(
        Float32Array.from({ length: classes * width }, () => random.normal()),
        [classes, width],
      ),
      bias: float32(
        Float32Array.from({ length: classes }, () => random.normal()),
        [classes],
      ),
    };
    const moved = {
      ...images,
      features: float32(
        data.map((value) => value + 10),
        [count, width],
      ),
    };
    await using inParts = await LogisticRegression.compile(images, classes, 4 * width * 25);
    for (const other of [await fit(images, 0.5, start), await fit(moved, 0.5), await inParts.fit(0.5)]) {
      expect(other.objective / objective).toBeCloseTo(1, 6);
      expect(relativeError(other.head.weight.data, head.weight.data)).toBeLessThan(1e-3);
    }
    const again = await fit(images, 0.5, head);
    expect(again.iterations).toBeLessThan(iterations / 2);
  });

  it("refuses what does not fit", async () => {
    const few = { ...images, labels: images.labels.subarray(1) };
    await expect(LogisticRegression.compile(few, classes)).rejects.toThrow("features [60, 5] do not fit 59 labels");
    await expect(LogisticRegression.compile(images, 2)).rejects.toThrow("of 2 classes they go from 0 to 1");
    await expect(fit(images, 0)).rejects.toThrow("lambda is 0; it must be above 0");
  });
});
