/**
 * The ways to a classifier of one's own, side by side (docs/experiments/comparison.md): zero-shot, few-shot and linear probes on pictograms,
 * fine-tuning it, and a residual network that begins with nothing.
 *
 *   npx tsx scripts/comparison/compare-ways.ts --train clothing/train --validation clothing/validation --test clothing/test --out runs/clothing
 *     [--title TEXT] [--template "a photo of a {}"] [--only few-shot] [--image-size 64] [--resnet-steps 500] [--finetune-steps 250]
 *
 * Each way leaves its result as a file in the folder and is not gone again while that is there, so the script may be stopped and started
 * at will; `--only` goes the ways whose names begin so. It prints a table, and writes it and a figure beside the results.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ClipEncoder } from "../../src/model/embedding/encoder.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { pictogramModel } from "../../src/model/hub/pictograms.ts";
import { drawPerClass, scoreHead, trainProbe, zeroShotHead } from "../../src/learning/evaluate/linear-probe.ts";
import { encodeLabelled, type FeatureKind } from "../../src/learning/evaluate/image-features.ts";
import { type LabelledImage, readLabelledImages, relabel } from "../../src/inputs/data/labelled-images.ts";
import type { LabelledFeatures } from "../../src/learning/evaluate/logistic-regression.ts";
import type { AugmentConfig } from "../../src/inputs/image/augment.ts";
import { count, duration, percent } from "../../src/interfaces/report/numbers.ts";
import { runFiles } from "../../src/learning/train/run-folder.ts";
import { train } from "../../src/learning/train/train.ts";
import { trainConfigSchema } from "../../src/learning/train/config.ts";
import { fewShotFigure } from "./few-shot-figure.ts";
import { scoreResNet, trainResNet } from "./small-resnet.ts";

/** What came of a way. */
interface Result {
  /** Of the test images, in [0, 1]; of several draws the mean. */
  readonly accuracy: number;
  /** The least and the most of the draws. */
  readonly range: readonly [number, number];
  /** From images to a classifier, of one draw: by the clock, and of all processors together, whatever else they do. */
  readonly seconds: number;
  readonly processorSeconds: number;
  /** Labelled images that it has learnt from, in one draw. */
  readonly images: number;
}

const shotCounts = [1, 2, 4, 8, 16];
/** Few images are drawn so many times. */
const draws = 3;
const batchSizes = { fineTune: 128, resNet: 64 };
/** How training images are varied, of both models that are trained on them. */
const augmentation: AugmentConfig = {
  geometry: { kind: "randomResizedCrop", area: [0.5, 1] },
  ...{ blur: 0, brightness: 0.2, contrast: 0.2, saturation: 0.2, grayscale: 0, erase: 0.25 },
};

const { values } = parseArgs({
  options: {
    train: { type: "string" },
    validation: { type: "string" },
    test: { type: "string" },
    out: { type: "string" },
    title: { type: "string", default: "" },
    template: { type: "string", default: "a photo of a {}" },
    only: { type: "string", default: "" },
    "image-size": { type: "string", default: "64" },
    "resnet-steps": { type: "string", default: "500" },
    "finetune-steps": { type: "string", default: "250" },
  },
});
const { train: trainFolder, test: testFolder, out, template, title } = values;
if (trainFolder === undefined || testFolder === undefined || out === undefined)
  throw new Error("name --train, --test and --out");
await mkdir(out, { recursive: true });

const { classes, samples } = await readLabelledImages(trainFolder);
const labels = samples.map(({ label }) => label);
const relabelled = async (folder: string) => relabel(await readLabelledImages(folder), classes, folder);
const test = await relabelled(testFolder);
const validation = values.validation === undefined ? undefined : await relabelled(values.validation);
await using encoder = new ClipEncoder(await readModel(pictogramModel));

const encode = (images: readonly LabelledImage[], kind: FeatureKind, of = encoder) =>
  encodeLabelled(of, images, kind, { onImage: (done) => show(`encoding: ${done} of ${images.length} images`) });
const encodedTest = new Map<FeatureKind, Promise<LabelledFeatures>>();
/** The test images as pictograms sees them; many ways ask for them. */
function testFeatures(kind: FeatureKind): Promise<LabelledFeatures> {
  const known = encodedTest.get(kind) ?? encode(test, kind);
  encodedTest.set(kind, known);
  return known;
}

async function zeroShot(): Promise<Result> {
  const spent = startClock();
  const head = await zeroShotHead(encoder, classes, { templates: [template] });
  const times = spent();
  return single((await scoreHead(head, await testFeatures("after"))).accuracy, times, 0);
}

/** Probes on so many images of each class; λ is chosen by some of them. Of one image none can be held out: then as for two. */
async function fewShot(shots: number, begun: "zeros" | "zero-shot"): Promise<Result> {
  const kind = begun === "zero-shot" ? "after" : "before";
  const results: Result[] = [];
  for (let seed = 0; seed < draws; seed++) {
    show(`${shots} of each class, draw ${seed + 1}`);
    const spent = startClock();
    const drawn = (count: number) =>
      encode(
        drawPerClass(labels, () => count, seed).map((i) => samples[i]!),
        kind,
      );
    const around = begun === "zero-shot" ? await zeroShotHead(encoder, classes, { templates: [template] }) : undefined;
    const options = { seed, around };
    const lambda = shots === 1 ? (await trainProbe(await drawn(2), classes, options)).lambda : undefined;
    const images = await drawn(shots);
    const { head } = await trainProbe(images, classes, { ...options, lambda });
    const times = spent();
    const { accuracy } = await scoreHead(head, await testFeatures(kind));
    results.push(single(accuracy, times, images.labels.length));
  }
  const accuracies = results.map(({ accuracy }) => accuracy);
  const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b) / numbers.length;
  return {
    accuracy: mean(accuracies),
    range: [Math.min(...accuracies), Math.max(...accuracies)],
    seconds: mean(results.map(({ seconds }) => seconds)),
    processorSeconds: mean(results.map(({ processorSeconds }) => processorSeconds)),
    images: results[0]!.images,
  };
}

async function linearProbe(): Promise<Result> {
  const spent = startClock();
  const images = await encode(samples, "before");
  const heldOut = validation && (await encode(validation, "before"));
  const onPoint = ({ lambda }: { lambda: number }) => show(`probe: λ ${lambda.toExponential(1)}`);
  const { head } = await trainProbe(images, classes, { validation: heldOut, onPoint });
  const times = spent();
  const { accuracy } = await scoreHead(head, await testFeatures("before"));
  return single(accuracy, times, images.labels.length + (heldOut?.labels.length ?? 0));
}

/** pictograms goes on with the class names in the template for captions, and then names the test images zero-shot. */
async function fineTune(): Promise<Result> {
  const run = join(out!, "fine-tune");
  await rm(run, { recursive: true, force: true });
  const config = trainConfigSchema.parse({
    init: pictogramModel,
    train: trainFolder,
    classTemplates: [template],
    augment: augmentation,
    batchSize: batchSizes.fineTune,
    steps: Number(values["finetune-steps"]),
    learningRate: 3e-4,
    warmupSteps: 20,
    weightDecay: 0.2,
    gradClipNorm: 1,
    saveEvery: 100_000,
  });
  const onProgress = ({ step, steps, loss }: { step: number; steps: number; loss: number }) =>
    show(`fine-tuning: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
  const spent = startClock();
  await train(config, { out: run, onProgress });
  const times = spent();
  await using tuned = new ClipEncoder(await readModel(join(run, runFiles.model)));
  const head = await zeroShotHead(tuned, classes, { templates: [template] });
  return single((await scoreHead(head, await encode(test, "after", tuned))).accuracy, times, samples.length);
}

async function resNet(): Promise<Result> {
  const [steps, imageSize] = [Number(values["resnet-steps"]), Number(values["image-size"])];
  const config = { imageSize, widths: [24, 48, 96, 192], classes: classes.length };
  const onStep = (step: number, loss: number) =>
    show(`residual network: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
  const spent = startClock();
  const training = { batchSize: batchSizes.resNet, steps, learningRate: 3e-3, seed: 0, augment: augmentation, onStep };
  const weights = await trainResNet(config, samples, training);
  const times = spent();
  return single(await scoreResNet(config, weights, test), times, samples.length);
}

const single = (accuracy: number, times: Pick<Result, "seconds" | "processorSeconds">, images: number): Result => ({
  ...{ accuracy, range: [accuracy, accuracy], ...times, images },
});

/** Gives the times spent since its call. */
function startClock() {
  const [start, used] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(used);
    return { seconds: (performance.now() - start) / 1000, processorSeconds: (user + system) / 1e6 };
  };
}

const beginnings = { "few-shot": "zeros", "few-shot from zero-shot": "zero-shot" } as const;
const ways: Readonly<Record<string, () => Promise<Result>>> = {
  "zero-shot": zeroShot,
  ...Object.fromEntries(
    Object.entries(beginnings).flatMap(([name, begun]) =>
      shotCounts.map((shots) => [`${name}, ${shots} of each class`, () => fewShot(shots, begun)]),
    ),
  ),
  "linear probe": linearProbe,
  "fine-tune": fineTune,
  "ResNet from scratch": resNet,
};

const results = new Map<string, Result>();
for (const [name, go] of Object.entries(ways)) {
  const file = join(out, `${name}.json`);
  if (!existsSync(file)) {
    if (!name.startsWith(values.only)) continue;
    await writeFile(file, `${JSON.stringify(await go())}\n`);
  }
  results.set(name, JSON.parse(await readFile(file, "utf8")) as Result);
}
show("");

const rows = Array.from(results, ([name, { accuracy, range, seconds, processorSeconds, images }]) => {
  const [least, most] = range;
  const spread = least < most ? ` (${percent(least)} to ${percent(most)})` : "";
  const times = [seconds, processorSeconds].map(duration);
  return `| ${[name, count(images), `${percent(accuracy)}${spread}`, ...times].join(" | ")} |`;
});
const table = [
  "| way | labelled images | accuracy | time | processor time |",
  "| --- | ---: | --- | --- | --- |",
  ...rows,
].join("\n");
console.log(`${title === "" ? "" : `${title}, `}${count(test.length)} test images\n\n${table}`);
await writeFile(join(out, "table.md"), `${table}\n`);

const whole = ["linear probe", "fine-tune", "ResNet from scratch"];
if (Object.keys(ways).every((name) => results.has(name))) {
  const figure = fewShotFigure({
    title,
    zeroShot: results.get("zero-shot")!.accuracy,
    curves: Object.keys(beginnings).map((label) => ({
      label,
      points: shotCounts.map((shots) => ({ shots, ...results.get(`${label}, ${shots} of each class`)! })),
    })),
    whole: whole.map((label) => ({ label, accuracy: results.get(label)!.accuracy })),
  });
  await writeFile(join(out, "few-shot.svg"), `${figure.text}\n`);
}

/** Shows where a long way stands, if somebody watches. */
function show(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
