import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder, collect } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { ZeroShotClassifier } from "../../model/zero-shot/classifier.ts";
import { evaluateZeroShot } from "./zero-shot.ts";

const root = await temporaryFolder();
const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
const classes = ["red apple", "green tree", "blue sea", "sun", "image", "the sea"];
afterAll(() => encoder.release());
const templates = ["a {}", "the {}"];
const classifier = await ZeroShotClassifier.create(encoder, classes, { templates });

/** Random images, and what the classifier itself says of each. */
async function imagesWithAnswers(count: number, folder: string) {
  await mkdir(join(root, folder), { recursive: true });
  const images: string[] = [];
  for (let i = 0; i < count; i++) images.push(await writeRandomImage(join(root, folder, `${i}.png`), i));
  const embeds = await collect(encoder.encodeImages(images));
  return images.map((image, i) => ({ image, ranked: classifier.rank(embeds[i]!), embed: embeds[i]! }));
}
const examples = await imagesWithAnswers(24, "images");

describe("evaluateZeroShot", () => {
  it("counts what the classifier answers: each third image's label is its first, second or last answer", async () => {
    const samples = examples.map(({ image, ranked }, i) => ({
      image,
      label: classes.indexOf(ranked[[0, 1, 5][i % 3]!]!.label),
    }));
    const scores = await evaluateZeroShot(encoder, { classes, samples }, { templates });
    expect(scores).toMatchObject({ count: 24, top1: 1 / 3, top5: 2 / 3, broken: [], rocAuc: undefined });
    scores.answers.forEach((answer, i) => {
      const { image, ranked } = examples[i]!;
      expect(answer).toMatchObject({
        name: image,
        image,
        truths: [classes[samples[i]!.label]],
        rank: [0, 1, 5][i % 3],
      });
      expect(answer.ranked.map(({ label }) => label)).toEqual(ranked.slice(0, 5).map(({ label }) => label));
      expect(answer.ranked[0]!.probability).toBeCloseTo(ranked[0]!.probability, 6);
    });
    // Every mistake is in the pairs, and every image in the classes and the bins.
    expect(scores.confusions.reduce((sum, { count }) => sum + count, 0)).toBe(16);
    expect(scores.classes.reduce((sum, { count }) => sum + count, 0)).toBe(24);
    expect(scores.calibration.bins.reduce((sum, { count }) => sum + count, 0)).toBe(24);
    const right = scores.classes.reduce((sum, { count, recall = 0 }) => sum + count * recall, 0);
    expect(right).toBeCloseTo(8, 9);
    const known = scores.classes.flatMap(({ recall }) => recall ?? []);
    expect(scores.meanPerClass).toBeCloseTo(known.reduce((a, b) => a + b) / known.length, 12);
  });

  it("is perfect if all labels are the model's own answers", async () => {
    const samples = examples.map(({ image, ranked }) => ({ image, label: classes.indexOf(ranked[0]!.label) }));
    const scores = await evaluateZeroShot(encoder, { classes, samples }, { templates });
    expect(scores).toMatchObject({ top1: 1, top5: 1, meanPerClass: 1, confusions: [] });
  });

  it("of two classes gives the area under the ROC curve", async () => {
    const two = classes.slice(0, 2);
    const pair = await ZeroShotClassifier.create(encoder, two, { templates });
    const margins = examples.map(({ embed }) => {
      const [first, second] = pair.similarities(embed);
      return second! - first!;
    });
    const median = [...margins].sort((a, b) => a - b)[12]!;
    const samples = examples.map(({ image }, i) => ({ image, label: Number(margins[i]! >= median) }));
    expect((await evaluateZeroShot(encoder, { classes: two, samples }, { templates })).rocAuc).toBe(1);
    const turned = samples.map(({ image, label }) => ({ image, label: 1 - label }));
    expect((await evaluateZeroShot(encoder, { classes: two, samples: turned }, { templates })).rocAuc).toBe(0);
  });

  it("takes any of several labels for right", async () => {
    const samples = examples.flatMap(({ image, ranked }) =>
      [0, 5].map((at) => ({ image, label: classes.indexOf(ranked[at]!.label) })),
    );
    const scores = await evaluateZeroShot(encoder, { classes, samples }, { templates });
    expect(scores).toMatchObject({ count: 24, top1: 1, confusions: [] });
    expect(scores.classes.reduce((sum, { count }) => sum + count, 0)).toBe(48);
  });

  it("averages the probabilities of a clip's frames", async () => {
    const clips = await Promise.all(["clips/one", "clips/two"].map((folder, i) => imagesWithAnswers(3 + i, folder)));
    const samples = clips.flat().map(({ image }) => ({ image, label: 0 }));
    const { count, answers } = await evaluateZeroShot(encoder, { classes, samples }, { templates, videos: true });
    expect(count).toBe(2);
    answers.forEach(({ name, truthProbability }, i) => {
      expect(name).toBe(dirname(clips[i]![0]!.image));
      const own = clips[i]!.map(({ embed }) => classifier.probabilities(embed)[0]!);
      expect(truthProbability).toBeCloseTo(own.reduce((a, b) => a + b) / own.length, 6);
    });
  });

  it("counts classes of the same name against the model", async () => {
    const twice = [...classes, classes[0]!];
    const samples = examples
      .filter(({ ranked }) => ranked[0]!.label === classes[0])
      .map(({ image }) => ({ image, label: 6 }));
    expect(samples.length).toBeGreaterThan(0);
    const { top1, answers } = await evaluateZeroShot(encoder, { classes: twice, samples }, { templates });
    expect(top1).toBe(0);
    expect(answers.map(({ rank }) => rank)).toEqual(samples.map(() => 1));
  });

  it("averages several names of a class, and calls it by the first", async () => {
    const named = [["red apple", "sun"], ...classes.slice(1)];
    const own = await ZeroShotClassifier.create(encoder, named, { templates });
    const samples = examples.map(({ image, embed }) => ({ image, label: classes.indexOf(own.rank(embed)[0]!.label) }));
    const { top1, classes: scored } = await evaluateZeroShot(encoder, { classes: named, samples }, { templates });
    expect([top1, scored[0]!.name]).toEqual([1, "red apple"]);
    // With one name the same images are answered otherwise: the seed was chosen so.
    expect((await evaluateZeroShot(encoder, { classes, samples }, { templates })).top1).toBeLessThan(1);
  });

  it("reads images in an archive", async () => {
    const file = join(root, "archive");
    const contents = await Promise.all(examples.slice(0, 2).map(({ image }) => readFile(image)));
    await writeFile(file, Buffer.concat(contents));
    const samples = contents.map(({ length }, i) => ({
      ...{ image: `archive/${i}.png`, label: classes.indexOf(examples[i]!.ranked[0]!.label) },
      bytes: { file, offset: i * contents[0]!.length, length },
    }));
    expect(await evaluateZeroShot(encoder, { classes, samples }, { templates })).toMatchObject({ count: 2, top1: 1 });
  });

  it("leaves broken images out, says so, and counts them as done", async () => {
    const torn = join(root, "torn.png");
    await writeFile(torn, "no image");
    const samples = [torn, examples[0]!.image].map((image) => ({ image, label: 0 }));
    const progress: string[] = [];
    const onProgress = (done: number, of: number) => void progress.push(`${done}/${of}`);
    const { count, broken } = await evaluateZeroShot(encoder, { classes, samples }, { onProgress });
    expect([count, progress]).toEqual([1, ["1/2", "2/2"]]);
    expect(broken).toEqual([{ image: torn, reason: expect.stringContaining(torn) as string }]);
    await expect(evaluateZeroShot(encoder, { classes, samples: samples.slice(0, 1) })).rejects.toMatchObject({
      code: "CLIP_DATA",
      message: expect.stringMatching(/^not one of 1 images can be read: .*torn\.png/) as string,
    });
  });
});
