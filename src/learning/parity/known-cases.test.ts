import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { npyBytes } from "../../inputs/data/npy.ts";
import { float32, int32 } from "../../core/tensor-data.ts";
import { ClipEncoder, collect, dot } from "../../model/embedding/encoder.ts";
import { forward } from "../../model/embedding/forward.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { compareKnownOutput } from "./known-cases.ts";
import type { KnownNumbers, KnownOutput, Quantity } from "./known-outputs.ts";

const root = await temporaryFolder();
const images = ["a.png", "b.png", "c.png"];
for (const [i, image] of images.entries()) await writeRandomImage(join(root, image), i);
const texts = ["a red apple", "the blue sea"];
const model = await readModel(await saveTinyModel(join(root, "model")));

/** The largest delta where the known numbers are these. */
async function deltas(
  numbers: readonly KnownNumbers[],
  inputs: Pick<KnownOutput, "images" | "texts"> = { images, texts },
) {
  const output: KnownOutput = { name: "", source: "", weights: { names: [] }, ...inputs, numbers };
  return (await compareKnownOutput(output, model, root)).map(({ delta }) => delta);
}

it("compares what the encoder gives too, a row for each image or, of cosines, text", async () => {
  await using encoder = new ClipEncoder(model);
  const paths = await collect(encoder.encodeImages(images.map((image) => join(root, image))));
  const sentences = await collect(encoder.encodeTexts(texts));
  const scale = Math.exp(model.logitScale);
  const logits = paths.map((path) => sentences.map((sentence) => scale * dot(path, sentence)));
  const shares = logits.flatMap((row) => {
    const weights = row.map(Math.exp);
    return weights.map((weight) => weight / (weights[0]! + weights[1]!));
  });
  const known: Partial<Record<Quantity, number[]>> = {
    logits: logits.flat(),
    probabilities: shares,
    cosines: sentences.flatMap((sentence) => paths.map((path) => dot(sentence, path))),
    "cosines with the first image": [dot(paths[0]!, paths[1]!), dot(paths[0]!, paths[2]!)],
  };
  const numbers = Object.entries(known).map(([of, values]) => ({ of: of as Quantity, values, tolerance: 0 }));
  // Measured: 7.5e-7, of logits up to 2.3; the same numbers in reverse order are 3e-3 off and more.
  for (const delta of await deltas(numbers)) expect(delta).toBeLessThan(2e-6);
  for (const { of, values } of numbers) {
    const turned = [{ of, values: [...values].reverse(), tolerance: 0 }];
    expect((await deltas(turned))[0]).toBeGreaterThan(1e-3);
  }

  const all = Float32Array.from(paths.flatMap((path) => [...path]));
  await writeFile(join(root, "embeds.npy"), npyBytes("<f4", [3, tinyConfig.embedDim], all));
  const rows = { of: "imageEmbeds", file: "embeds.npy", tolerance: 0 } as const;
  expect((await deltas([rows]))[0]).toBeLessThan(1e-6);
  expect((await deltas([rows], { images: images.slice(0, 2) }))[0]).toBe(Infinity);
});

it("compares features before they are brought to length 1, and takes numbers in the place of images and texts", async () => {
  const ids = [
    [1, 10, 20, 99, 0],
    [1, 30, 99, 0, 0],
  ];
  const outputs = await forward(model, {
    pixelValues: float32(new Float32Array(3 * 32 * 32).fill(0.25), [1, 3, 32, 32]),
    inputIds: int32(ids.flat(), [2, 5]),
  });
  const floats = (name: string) => [...(outputs.get(name)!.data as Float32Array)];
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const [path, both] = [floats("imageFeatures"), floats("textFeatures")];
  const [first, second] = [both.slice(0, tinyConfig.embedDim), both.slice(tinyConfig.embedDim)];
  const numbers: readonly KnownNumbers[] = [
    { of: "sums of imageFeatures", values: [sum(path)], tolerance: 0 },
    { of: "first of imageFeatures", values: path.slice(0, 3), tolerance: 0 },
    { of: "sums of textFeatures", values: [sum(first), sum(second)], tolerance: 0 },
    { of: "first of textFeatures", values: first.slice(0, 4), tolerance: 0 },
    { of: "last of textFeatures", values: first.slice(-4), tolerance: 0 },
  ];
  for (const delta of await deltas(numbers, { images: [0.25], texts: ids })) expect(delta).toBeLessThan(1e-6);
});
