import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats } from "../../src/model/checkpoints/stored-tensor.ts";
import { Random } from "../../src/core/random.ts";
import { float32 } from "../../src/core/tensor-data.ts";
import { ClipEncoder, collect } from "../../src/model/embedding/encoder.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { headLogits } from "../../src/learning/evaluate/logistic-regression.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const seed = 20_260_804;
const random = new Random(seed);

/** Plain images of about a colour. */
async function paint(split: string, name: string, colour: readonly number[], count: number): Promise<void> {
  await mkdir(join(root, split, name), { recursive: true });
  for (let i = 0; i < count; i++) {
    const [r, g, b] = colour.map((level) => Math.min(255, level + random.integer(60))) as [number, number, number];
    const create = { width: 8, height: 8, channels: 3, background: { r, g, b } } as const;
    await sharp({ create })
      .png()
      .toFile(join(root, split, name, `${i}.png`));
  }
}
const colours = { "blue sea": [0, 0, 180], "green tree": [0, 180, 0], "red apple": [180, 0, 0] };
for (const [name, colour] of Object.entries(colours)) {
  await paint("train", name, colour, 6);
  await paint("test", name, colour, 3);
}
await paint("single", "red apple", colours["red apple"], 2);
const [train, test] = [join(root, "train"), join(root, "test")];
const probe = (...args: string[]) => call(["probe", "--model", model, ...args]);

interface Document {
  readonly results: Results;
  readonly skipped: readonly { readonly image: string; readonly reason: string }[];
}

interface Results {
  readonly features: string;
  readonly width: number;
  readonly images: { readonly train: number; readonly test?: number };
  readonly lambda: number;
  readonly objective: number;
  readonly sweep: readonly { readonly lambda: number }[];
  readonly test?: { readonly accuracy: number; readonly perClass: readonly number[] };
  readonly zeroShot?: { readonly accuracy: number };
}

const resultsOf = (out: string) => (JSON.parse(out) as Document).results;

describe(`clip-ts probe (seed ${seed})`, () => {
  it("learns classes of another kind than the model's, prints table and accuracy, and saves the head", async () => {
    const out = join(root, "head.safetensors");
    const called = await probe(train, "--test", test, "--out", out);
    expect(called).toMatchObject({ code: 0, err: `wrote ${out}` });
    expect(called.out).toMatch(/^λ +accuracy +mean per class +loss +steps\n1\.00e-6 /);
    expect(called.out.match(/chosen/g)).toHaveLength(1);
    expect(called.out).toMatch(/18 images of 3 classes, 32 features/);
    expect(called.out).toMatch(/probe {2}accuracy 100\.0 %, mean per class 100\.0 %/);

    const { tensors, metadata } = await openSafetensors(out);
    expect(JSON.parse(metadata.get("classes")!)).toEqual(Object.keys(colours));
    expect(metadata.get("features")).toBe("before");
    const head = { weight: await readFloats(tensors.get("weight")!), bias: await readFloats(tensors.get("bias")!) };
    await using encoder = new ClipEncoder(await readModel(model));
    const [vector] = await collect(encoder.poolImages([join(test, "green tree", "1.png")]));
    const { data } = await headLogits(head, float32(vector!, [1, tinyConfig.vision.width]));
    expect((data as Float32Array).indexOf(Math.max(...(data as Float32Array)))).toBe(1);
  });

  it("learns from so many of each class, of the kind of features and by the λ that are asked for", async () => {
    const args = [train, "--test", test, "--shots", "2", "--features", "after", "--lambda", "0.5", "--json"];
    const { code, out } = await probe(...args);
    expect(code).toBe(0);
    expect(resultsOf(out)).toMatchObject({
      ...{ features: "after", width: tinyConfig.embedDim, lambda: 0.5, sweep: [] },
      images: { train: 6, test: 9 },
    });
    const other = await probe(...args, "--seed", "2");
    expect(resultsOf(other.out).objective).not.toBe(resultsOf(out).objective);
  });

  it("with --init zero-shot and a penalty that nothing outweighs classifies as zero-shot does", async () => {
    const args = [train, "--test", test, "--init", "zero-shot", "--template", "a {}", "--json"];
    const { test: scores, zeroShot, features } = resultsOf((await probe(...args, "--lambda", "1e9")).out);
    expect(features).toBe("after");
    expect(zeroShot!.accuracy).toBeLessThan(1);
    const free = resultsOf((await probe(...args, "--lambda", "1e-3")).out);
    expect(free.test!.accuracy).toBe(1);
    expect(scores!.accuracy).toBeLessThan(1);
  });

  it("with --init zero-shot says which classes are called the same, and reads _ as a blank", async () => {
    const [underscore, blank] = [join(root, "underscore"), join(root, "blank")];
    for (const [i, [name, colour]] of Object.entries(colours).entries()) {
      await paint("underscore", name.replaceAll(" ", "_"), colour, 2 + i);
      await paint("blank", name, colour, 2 + i);
    }
    const head = async (folder: string) => {
      const args = [folder, "--init", "zero-shot", "--lambda", "1e9", "--out", join(folder, "head.st")];
      const { code, err } = await probe(...args);
      expect(code).toBe(0);
      return { err, weight: await readFloats((await openSafetensors(join(folder, "head.st"))).tensors.get("weight")!) };
    };
    const [one, other] = [await head(underscore), await head(blank)];
    one.weight.data.forEach((value, i) => expect(value).toBeCloseTo(other.weight.data[i]!, 4));
    expect(other.err).not.toMatch("equal to the model");
    await paint("underscore", "Red apple", colours["red apple"], 2);
    expect((await head(underscore)).err).toMatch(/the labels "Red apple" and "red apple" are equal to the model: /);
  });

  it("is mentioned by eval", async () => {
    expect((await call(["eval", "--help"])).out).toContain("clip-ts probe --help");
  });

  it("leaves out an image that cannot be read, and says so", async () => {
    const broken = join(train, "red apple", "broken.png");
    await writeFile(broken, "no image");
    const { code, out, err } = await probe(train, "--test", test, "--lambda", "1", "--json");
    const twice = await probe(train, "--test", train, "--lambda", "1", "--json");
    await rm(broken);
    // Named for both purposes, it is left out of both and reported once.
    expect(twice.err.match(/skipped/g)).toHaveLength(1);
    expect(JSON.parse(twice.out)).toMatchObject({ skipped: [{ image: broken }] });
    expect(code).toBe(0);
    expect(err).toMatch(/^skipped: .*broken\.png is text, not an image/);
    const { results, skipped } = JSON.parse(out) as Document;
    expect(results.images.train).toBe(18);
    expect(skipped).toEqual([{ image: broken, reason: expect.stringMatching(/is text, not an image/) as string }]);
  });

  it.each([
    [["--features", "before", "--init", "zero-shot"], 2, "--init zero-shot needs --features after"],
    [["--shots", "7"], 1, 'class "blue sea" has fewer than 7 images; lower --shots'],
    [["--shots", "1"], 1, 'the class "blue sea" has fewer than two images, so none can be held out'],
    [["--template", "a {}"], 2, "templates are for --init zero-shot; add it, or leave out the templates"],
    [["--lambda", "0"], 2, "It must be a number above 0."],
    [["--test", root], 1, "those of training are blue sea, green tree, red apple"],
  ])("refuses %j", async (args, code, message) => {
    const called = await probe(train, "--test", test, ...args);
    expect(called).toMatchObject({ code, out: "" });
    expect(called.err).toContain(message);
  });

  it("refuses a single class", async () => {
    const { code, err } = await probe(join(root, "single"), "--test", test);
    expect([code, err]).toEqual([
      1,
      expect.stringContaining('has only images of "red apple"; a probe needs two classes'),
    ]);
  });

  it("refuses to train a head that would be neither measured nor kept", async () => {
    const { code, err } = await probe(train);
    expect([code, err]).toEqual([
      2,
      expect.stringContaining("add --test to measure the head's accuracy, --out to save the head, or both"),
    ]);
  });
});
