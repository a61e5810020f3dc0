import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { ClipTokenizer } from "../../inputs/text/tokenizer.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import { type Towers, Validator } from "./validate.ts";

const tokenizer = new ClipTokenizer([]);
const contextLength = 20;
const preprocess = {
  imageSize: 4,
  mean: [0, 0, 0] as const,
  std: [1, 1, 1] as const,
  resample: "bilinear" as const,
};
const idsOf = (text: string) => tokenizer.tokenize([text], { contextLength }).inputIds;

/**
 * Towers without weights: the feature of an image is its mean colour, that of a text stands in a table.
 */
function handmadeTowers(table: Readonly<Record<string, readonly number[]>>): Towers & { readonly texts: string[] } {
  const known = new Map(Object.entries(table).map(([text, feature]) => [idsOf(text).join(), { text, feature }]));
  const texts: string[] = [];
  const unit = (vector: readonly number[]) => vector.map((value) => value / Math.hypot(...vector));
  const rows = (count: number, row: (i: number) => readonly number[]) =>
    Promise.resolve(Float32Array.from(Array.from({ length: count }, (_, i) => unit(row(i))).flat()));
  return {
    embedDim: 3,
    contextLength,
    texts,
    encodeImages: (pixelValues) =>
      rows(pixelValues.length / 48, (i) =>
        [0, 1, 2].map((channel) => {
          const plane = pixelValues.subarray(48 * i + 16 * channel, 48 * i + 16 * (channel + 1));
          return plane.reduce((sum, value) => sum + value, 0) / 16;
        }),
      ),
    encodeTexts: (inputIds, endOfText) =>
      rows(endOfText.length, (i) => {
        const { text, feature } = known.get(inputIds.subarray(contextLength * i, contextLength * (i + 1)).join())!;
        texts.push(text);
        return feature;
      }),
  };
}

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});

/** An image of one colour, with its captions. */
async function sample(
  name: string,
  [r, g, b]: readonly [number, number, number],
  ...captions: string[]
): Promise<Sample> {
  const image = join(folder, `${name}.png`);
  const create = { width: 6, height: 6, channels: 3 as const, background: { r, g, b } };
  await sharp({ create }).png().toFile(image);
  return { image, captions };
}

describe("Validator", () => {
  it("counts an image as named if its first caption is the best of all, or among the best five", async () => {
    const samples = [
      await sample("red", [255, 0, 0], "red", "crimson"),
      await sample("green", [0, 255, 0], "green"),
      await sample("blue", [0, 0, 255], "blue"),
      await sample("dark red", [90, 0, 0], "red"),
      await sample("purple", [255, 0, 254], "purple"),
      await sample("brown", [255, 128, 0], "brown"),
    ];
    const towers = handmadeTowers({
      red: [3, 0, 0],
      green: [0, 5, 0],
      blue: [0, 0, 0.1],
      // Red and blue are nearer to its image: third of five.
      purple: [0, 1, 0.1],
      // Turned away from its image: last of five.
      brown: [-1, -1, 0],
    });
    const validator = new Validator(samples, { templates: ["{}"], tokenizer, preprocess });
    const { scores, predictions } = await validator.validate(towers);
    expect(scores).toEqual({ top1: 4 / 6, top5: 1, count: 6, classes: 5 });
    expect(predictions.map(({ image, truth }) => [image, truth])).toEqual(
      samples.map(({ image, captions }) => [image, captions[0]]),
    );
    const [red, , , darkRed] = predictions;
    expect(red!.ranked.map(({ label }) => label)).toEqual(["red", "green", "blue", "purple", "brown"]);
    expect(red!.ranked[0]!.similarity).toBeCloseTo(1, 6);
    expect(red!.ranked[4]!.similarity).toBeCloseTo(-Math.SQRT1_2, 6);
    expect(darkRed!.ranked[0]!.similarity).toBeCloseTo(1, 6);
  });

  it("counts only the best five for top-5", async () => {
    const table = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`c${i}`, [1, i, 0]]));
    const samples = await Promise.all(Object.keys(table).map((name) => sample(name, [255, 0, 0], name)));
    const validator = new Validator(samples, { templates: ["{}"], tokenizer, preprocess });
    const { scores, predictions } = await validator.validate(handmadeTowers(table));
    expect(scores).toEqual({ top1: 1 / 6, top5: 5 / 6, count: 6, classes: 6 });
    for (const { ranked } of predictions) {
      expect(ranked.map(({ label }) => label)).toEqual(["c0", "c1", "c2", "c3", "c4"]);
    }
  });

  it.each([
    ["says the same of everything", [1, 1, 1]],
    ["gives zeros", [0, 0, 0]],
    ["gives no numbers", [NaN, NaN, NaN]],
  ])("finds that a model that %s names nothing", async (_, feature) => {
    const names = ["a", "b", "c", "d", "e", "f"];
    const samples = await Promise.all(names.map((name) => sample(name, [255, 0, 0], name)));
    const validator = new Validator(samples, { templates: ["{}"], tokenizer, preprocess });
    const { scores } = await validator.validate(
      handmadeTowers(Object.fromEntries(names.map((name) => [name, feature]))),
    );
    expect(scores).toEqual({ top1: 0, top5: 0, count: 6, classes: 6 });
  });

  it("averages the unit vectors of a caption's templates", async () => {
    const samples = [await sample("red", [255, 0, 0], "red"), await sample("green", [0, 255, 0], "green")];
    // Long vectors weigh no more than short ones: without that, red would be (1, 0, 100) and green the nearer to none.
    const towers = handmadeTowers({
      "a red thing": [1, 0, 0],
      "red, red": [0, 0, 100],
      "a green thing": [0, 2, 0],
      "green, green": [0, 3, 0],
    });
    const templates = ["a {} thing", "{}, {}"];
    const { predictions } = await new Validator(samples, { templates, tokenizer, preprocess }).validate(towers);
    expect(predictions[0]!.ranked[0]).toEqual({ label: "red", similarity: expect.closeTo(Math.SQRT1_2, 6) as number });
    expect(predictions[1]!.ranked[0]).toEqual({ label: "green", similarity: expect.closeTo(1, 6) as number });
    expect(towers.texts).toEqual(["a red thing", "red, red", "a green thing", "green, green"]);
  });

  it("takes more images and captions than go through the towers at once", async () => {
    const [red, green] = [await sample("red", [255, 0, 0], ""), await sample("green", [0, 255, 0], "")];
    const samples = Array.from({ length: 150 }, (_, i) => ({
      image: (i % 3 === 0 ? red : green).image,
      captions: [`n${i}`],
    }));
    const table = Object.fromEntries(
      samples.map(({ captions }, i) => [captions[0]!, i === 3 ? [1, 0, 0] : i === 4 ? [0, 1, 0] : [0, 0, 1]]),
    );
    const validator = new Validator(samples, { templates: ["{}"], tokenizer, preprocess });
    const { scores, predictions } = await validator.validate(handmadeTowers(table));
    expect(scores).toEqual({ top1: 2 / 150, top5: 2 / 150, count: 150, classes: 150 });
    predictions.forEach(({ ranked }, i) => expect(ranked[0]!.label).toBe(i % 3 === 0 ? "n3" : "n4"));
  });

  it("leaves broken images out and lists them once", async () => {
    const torn = join(folder, "torn.png");
    await writeFile(torn, "no image");
    const samples = [
      { image: torn, captions: ["red"] },
      await sample("green", [0, 255, 0], "green"),
      { image: join(folder, "none.png"), captions: ["blue"] },
      await sample("red", [255, 0, 0], "red"),
    ];
    const towers = handmadeTowers({ red: [1, 0, 0], green: [0, 1, 0], blue: [0, 0, 1] });
    const validator = new Validator(samples, { templates: ["{}"], tokenizer, preprocess });
    for (let again = 0; again < 2; again++) {
      const { scores, predictions } = await validator.validate(towers);
      expect(scores).toEqual({ top1: 1, top5: 1, count: 2, classes: 3 });
      expect(predictions.map(({ truth }) => truth)).toEqual(["green", "red"]);
      expect(validator.broken).toEqual([
        { image: torn, reason: expect.stringContaining(torn) as string },
        { image: join(folder, "none.png"), reason: expect.stringContaining("none.png") as string },
      ]);
    }
    const allBroken = new Validator(samples.slice(0, 1), { templates: ["{}"], tokenizer, preprocess });
    await expect(allBroken.validate(towers)).rejects.toMatchObject({
      code: "CLIP_DATA",
      message: expect.stringContaining("none of 1 validation images can be read") as string,
    });
  });
});
