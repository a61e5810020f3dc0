import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { randomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { collect, dot } from "../embedding/encoder.ts";
import { readModel } from "../pretrained/model-folder.ts";
import { ZeroShotClassifier } from "./classifier.ts";
import { ClipModel, loadClip } from "./clip.ts";
import { noneOfThese, nullLabels } from "./templates.ts";

const folder = await saveTinyModel(join(await temporaryFolder(), "model"));
const clip = await loadClip(folder);
afterAll(() => clip.release());

const labels = ["red apple", "green tree", "blue sea", "sun"];
const templates = ["{}", "a picture of a {}", "the {} and the {}"];
const image = randomImage(3);
const [imageEmbed] = await collect(clip.encodeImages([image]));
const sum = (numbers: readonly number[]) => numbers.reduce((total, x) => total + x, 0);

/** The label's vector, by the definition. */
async function labelVector(label: string): Promise<Float32Array> {
  const embeds = await collect(clip.encodeTexts(templates.map((template) => template.split("{}").join(label))));
  const mean = embeds[0]!.map((_, i) => sum(embeds.map((embed) => embed[i]!)) / embeds.length);
  return mean.map((value) => value / Math.sqrt(dot(mean, mean)));
}

const scale = Math.exp(clip.logitScale);
const cosineOf = async (label: string) => dot(imageEmbed!, await labelVector(label));

describe("a zero-shot classifier", () => {
  it("has as columns the mean over templates of unit vectors, of unit length again", async () => {
    const { zeroShotWeights, classNames } = await ZeroShotClassifier.create(clip, labels, { templates });
    expect(classNames).toEqual(labels);
    expect(zeroShotWeights.shape).toEqual([clip.embedDim, 4]);
    for (const [column, label] of labels.entries()) {
      const wanted = await labelVector(label);
      wanted.forEach((value, row) => expect(zeroShotWeights.data[row * 4 + column]).toBeCloseTo(value, 6));
    }
  });

  it("has for a class of several names their mean in all templates, under the first name", async () => {
    const classes = [["red apple", "sun"], "blue sea"];
    const { zeroShotWeights, classNames } = await ZeroShotClassifier.create(clip, classes, { templates });
    expect(classNames).toEqual(["red apple", "blue sea"]);
    // With as many templates each, it is the direction between the two names' unnormalised means.
    const texts = ["red apple", "sun"].flatMap((name) => templates.map((template) => template.split("{}").join(name)));
    const embeds = await collect(clip.encodeTexts(texts));
    const mean = embeds[0]!.map((_, i) => sum(embeds.map((embed) => embed[i]!)) / embeds.length);
    const wanted = [mean.map((value) => value / Math.sqrt(dot(mean, mean))), await labelVector("blue sea")];
    wanted.forEach((vector, column) =>
      vector.forEach((value, row) => expect(zeroShotWeights.data[row * 2 + column]).toBeCloseTo(value, 6)),
    );
    const [best] = await clip.classify(image, [["red apple", "sun"]]);
    expect(best!.label).toBe("red apple");
  });

  it("gives labels the softmax of their scaled cosines, best first", async () => {
    const ranked = await clip.classify(image, labels, { templates });
    const cosines = await Promise.all(ranked.map(({ label }) => cosineOf(label)));
    const total = sum(cosines.map((cosine) => Math.exp(scale * cosine)));
    ranked.forEach(({ similarity, probability }, i) => {
      expect(similarity).toBeCloseTo(cosines[i]!, 6);
      expect(probability).toBeCloseTo(Math.exp(scale * cosines[i]!) / total, 5);
    });
    expect(sum(ranked.map(({ probability }) => probability))).toBeCloseTo(1, 9);
    expect(ranked.map(({ probability }) => probability)).toEqual(
      ranked.map(({ probability }) => probability).sort((a, b) => b - a),
    );
  });

  it("gives labels the sigmoids of a model trained with them", async () => {
    const config = { ...tinyConfig, score: "sigmoid" } as const;
    await using siglip = await loadClip(await saveTinyModel(join(await temporaryFolder(), "siglip"), { config }));
    const [embed] = await collect(siglip.encodeImages([image]));
    const ranked = await siglip.classify(image, labels, { templates: ["{}"] });
    const texts = await collect(siglip.encodeTexts(ranked.map(({ label }) => label)));
    expect([siglip.logitScale, siglip.logitBias]).toEqual([Math.fround(Math.log(10)), -10]);
    ranked.forEach(({ probability }, i) => {
      expect(probability).toBeCloseTo(1 / (1 + Math.exp(10 - 10 * dot(embed!, texts[i]!))), 6);
    });
    await expect(siglip.classify(image, labels, { none: true })).rejects.toThrow(
      /this model is always multi-label, no label fits if all probabilities are below ½/,
    );
  });

  it("does not care in which order labels come", async () => {
    const ranked = await clip.classify(image, labels);
    const reversed = await clip.classify(image, [...labels].reverse());
    expect(reversed.map(({ label }) => label)).toEqual(ranked.map(({ label }) => label));
    reversed.forEach(({ probability }, i) => expect(probability).toBeCloseTo(ranked[i]!.probability, 6));
  });

  it("cuts at topK without changing the probabilities", async () => {
    const all = await clip.classify(image, labels);
    expect(await clip.classify(image, labels, { topK: 2 })).toEqual(all.slice(0, 2));
    await expect(clip.classify(image, labels, { topK: 0 })).rejects.toThrow(
      "topK must be a whole number of at least 1, got 0",
    );
  });

  it("takes a label literally, dollar signs and braces too", async () => {
    const { zeroShotWeights } = await ZeroShotClassifier.create(clip, ["$& {}"], { templates: ["a {}"] });
    const [wanted] = await collect(clip.encodeTexts(["a $& {}"]));
    wanted!.forEach((value, row) => expect(zeroShotWeights.data[row]).toBeCloseTo(value, 6));
  });

  it.each([
    [[], {}, "there are no labels"],
    [["cat", " "], {}, "label 2 of 2 is empty"],
    [["cat", []], {}, "label 2 of 2 is empty"],
    [["cat", ["dog", ""]], {}, "label 2 of 2 is empty"],
    [[["cat", "tom"], "cat"], {}, 'the label "cat" is given twice'],
    [["cat", "dog", "cat "], {}, 'the label "cat" is given twice'],
    [
      ["Rocket", "sun", "rocket"],
      {},
      'the labels "Rocket" and "rocket" are equivalent and would share the probability; remove one',
    ],
    [["ice_cream", "Ice  cream"], {}, 'the labels "ice_cream" and "Ice  cream" are equivalent'],
    [["caf\u00e9", "cafe\u0301"], {}, "are equivalent"],
    [["cat's eye", "cat\u2019s eye"], {}, "are equivalent"],
    [["salt & pepper", "salt &amp; pepper"], {}, "are equivalent"],
    [["cafÃ©", "café"], {}, 'the labels "cafÃ©" and "café" are equivalent'],
    [["ｃａｔ", "cat"], {}, "are equivalent"],
    [["a sea", "sea"], { templates: ["a photo of a {}"] }, 'the labels "a sea" and "sea" are equivalent'],
    [
      [
        ["sea", "sun"],
        ["Sun", "SEA"],
      ],
      { templates: ["{}", "a {}"] },
      'the labels "sea" and "Sun" are equivalent',
    ],
    [["cat"], { templates: ["a photo"] }, 'the template "a photo" has no {} to put the label in'],
    [["cat"], { templates: [] }, "there are no templates"],
    [["none of these"], { none: true }, 'the label "none of these" is added automatically'],
    [["cat"], { none: true, multiLabel: true }, "none and multiLabel exclude each other"],
  ])("refuses the labels %j with %j", async (names, options, message) => {
    await expect(ZeroShotClassifier.create(clip, names, options)).rejects.toMatchObject({
      code: "CLIP_USAGE",
      message: expect.stringContaining(message) as string,
    });
  });
});

describe("labels that are equivalent", () => {
  it("share the probability, if somebody is told of them", async () => {
    const told: string[][] = [];
    const onEqualLabels = (...pair: string[]) => told.push(pair);
    const names = ["red apple", "sun", "Red  apple", "RED APPLE", "blue_sea", "Blue sea", "sea", "a sea", "the sea"];
    const classifier = await ZeroShotClassifier.create(clip, names, { onEqualLabels, templates });
    expect(told).toEqual([
      ["red apple", "Red  apple"],
      ["red apple", "RED APPLE"],
      ["blue_sea", "Blue sea"],
    ]);
    const [embed] = await collect(clip.encodeImages([image]));
    const [first, , second, third] = classifier.probabilities(embed!);
    expect([second, third]).toEqual([first, first]);
  });

  it("are also those that a tokenizer makes no difference between, whatever their names' order", async () => {
    const pairs: string[][] = [];
    const names = [["sun", "sea"], "tree", ["SEA", "Sun"]];
    await ZeroShotClassifier.create(clip, names, { onEqualLabels: (...pair) => pairs.push(pair) });
    expect(pairs).toEqual([["sun", "SEA"]]);
  });
});

describe("a damaged model", () => {
  it("is said to be one: an embedding that is no number ranks nothing", async () => {
    const classifier = await ZeroShotClassifier.create(clip, labels);
    expect(() => classifier.rank(new Float32Array(clip.embedDim).fill(NaN))).toThrow(/output is NaN/);
  });
});

describe("none of these", () => {
  it("has the probability of all labels that say nothing together, and none of the others changes in proportion", async () => {
    const plain = await clip.classify(image, labels, { templates });
    const ranked = await clip.classify(image, labels, { templates, none: true });
    expect(sum(ranked.map(({ probability }) => probability))).toBeCloseTo(1, 9);
    const of = (label: string) => ranked.find((row) => row.label === label)!;
    const odds = (label: string) => of(label).probability / of(labels[0]!).probability;
    const before = (label: string) => plain.find((row) => row.label === label)!.probability;
    for (const label of labels) expect(odds(label)).toBeCloseTo(before(label) / before(labels[0]!), 5);

    const nulls = await Promise.all(nullLabels.map(cosineOf));
    const ratio = sum(nulls.map((cosine) => Math.exp(scale * cosine))) / Math.exp(scale * of(labels[0]!).similarity);
    expect(of(noneOfThese).probability / of(labels[0]!).probability).toBeCloseTo(ratio, 4);
    expect(of(noneOfThese).similarity).toBeCloseTo(Math.max(...nulls), 6);
  });
});

describe("multi-label classification", () => {
  it("have the same probability whatever stands beside them: against the labels that say nothing", async () => {
    const all = await clip.classify(image, labels, { templates, multiLabel: true });
    const nulls = sum((await Promise.all(nullLabels.map(cosineOf))).map((cosine) => Math.exp(scale * cosine)));
    for (const { label, probability } of all) {
      const [alone] = await clip.classify(image, [label], { templates, multiLabel: true });
      expect(alone!.probability).toBeCloseTo(probability, 6);
      const own = Math.exp(scale * (await cosineOf(label)));
      expect(probability).toBeCloseTo(own / (own + nulls), 5);
    }
    expect(all).toHaveLength(labels.length);
  });
});

class CountingModel extends ClipModel {
  encoded = 0;
  override encodeTexts(...args: Parameters<ClipModel["encodeTexts"]>) {
    this.encoded++;
    return super.encodeTexts(...args);
  }
}

describe("a model", () => {
  it("encodes the same labels once", async () => {
    await using counting = new CountingModel(await readModel(folder));
    await counting.classify(image, labels);
    await counting.classify(randomImage(4), labels);
    expect(counting.encoded).toBe(1);
    await counting.classify(image, labels, { none: true });
    expect(counting.encoded).toBe(2);
  });
});
