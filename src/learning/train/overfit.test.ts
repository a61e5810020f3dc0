import { copyFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { call } from "../../../test/cli/call.ts";
import { drawShapes, tinyRun, tinyVit } from "../../../test/train/tiny-run.ts";
import { overfit } from "./overfit.ts";

let root: string;
let images: string;
beforeAll(async () => {
  root = await temporaryFolder();
  images = await drawShapes(join(root, "images"));
});

/** The drawings with other captions. */
async function captioned(name: string, captionOf: (i: number) => string): Promise<string> {
  const folder = await drawShapes(join(root, name));
  for (let i = 0; i < 30; i++) await writeFile(join(folder, `${i}.txt`), captionOf(i));
  return folder;
}

const settings = { learningRate: 3e-3, gradClipNorm: 1 };

describe("overfit", () => {
  it("finds a run in order whose model memorizes its pairs, and writes nothing", async () => {
    const steps: number[] = [];
    const before = await readdir(root);
    const result = await overfit(tinyRun(images, settings), { onProgress: ({ step }) => steps.push(step) });
    expect(result).toMatchObject({
      learned: true,
      pairs: 30,
      differentCaptions: 30,
      differentImages: 30,
      leastLoss: 0,
    });
    expect(result.chanceLoss).toBeCloseTo(Math.log(30), 12);
    expect(result.attempts).toHaveLength(1);
    expect(result.attempts[0]).toMatchObject({ learningRate: 3e-3, steps: steps.length - 1 });
    expect(result.attempts[0]!.lastLoss).toBeLessThan(0.1 * Math.log(30));
    expect(result.text).toMatch(
      /^it can memorize 30 pairs: the loss went from \d\.\d\d to 0\.\d\d in \d+ steps; chance is 3\.40/,
    );
    expect(await readdir(root)).toEqual(before);
  });

  it("does not blame pairs of few classes, whose least loss is not 0", async () => {
    const folder = await captioned("classes", (i) => `class ${i % 10}`);
    const result = await overfit(tinyRun(folder, settings));
    // Ten groups of three.
    expect(result.leastLoss).toBeCloseTo(Math.log(3), 6);
    expect(result).toMatchObject({ learned: true, differentCaptions: 10 });
  });

  it("says so without an attempt where all captions, or all images, are equal", async () => {
    const folder = await captioned("equal", () => "an image");
    const result = await overfit(tinyRun(folder, { ...settings, tokenizer: "captions" }));
    expect(result).toMatchObject({ learned: false, attempts: [], differentCaptions: 1 });
    expect(result.leastLoss).toBeCloseTo(result.chanceLoss, 12);
    expect(result.text).toMatch(
      /^it cannot memorize 30 pairs: all have the same caption, so there is nothing to learn/,
    );
    const one = await drawShapes(join(root, "one"));
    for (let i = 1; i < 30; i++) await copyFile(join(one, "0.png"), join(one, `${i}.png`));
    expect((await overfit(tinyRun(one, settings))).text).toContain("all have the same image");
  });

  it("finds the learning rate that would do where the run's own is too low", async () => {
    const low = await overfit(tinyRun(images, { ...settings, learningRate: 1e-6 }));
    expect(low.learned).toBe(false);
    expect(low.text).toMatch(/^it cannot memorize 30 pairs at learningRate 0\.000001: /);
    expect(low.text).toMatch(/\n- with learningRate 0\.0+1 it can: yours is too low$/);
  });

  it("finds one where the run's own is too high", async () => {
    const high = await overfit(tinyRun(images, { ...settings, learningRate: 1 }));
    expect(high.learned).toBe(false);
    expect(high.text).toContain("it can: yours is too high");
  });

  it("names what is locked, and hidden, where no rate will do", async () => {
    const switches = { lockImage: true, lockText: true, unlockedTextBlocks: 1, patchDropout: 0.75 };
    const model = { ...tinyVit, vision: { ...tinyVit.vision, width: 64 } };
    const result = await overfit(tinyRun(images, { ...settings, ...switches, model, learningRate: 1e-9 }));
    expect(result).toMatchObject({ learned: false, attempts: [{}, {}, {}, {}, {}, {}] });
    expect(result.text).toContain("none of 1e-9, 1e-8, 1e-10, 1e-7, 1e-11, 0.000001 works");
    expect(result.text).toMatch(/only [\d.]+ % of the weights are trained \(lockImage, lockText\)/);
    expect(result.text).toContain("patchDropout hides 75 % of each image");
    await expect(overfit(tinyRun(images, { lockImage: true, lockText: true }))).rejects.toThrow(
      "both towers are locked",
    );
  });

  it("is an option of clip-ts train, whose exit code says it too", async () => {
    const file = join(root, "run.json");
    const run = { model: tinyVit, tokenizer: "captions", train: "images", batchSize: 8, steps: 10, ...settings };
    await writeFile(file, JSON.stringify(run));
    const good = await call(["train", file, "--overfit"]);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toMatch(/^it can memorize 30 pairs/);
    await writeFile(file, JSON.stringify({ ...run, train: await captioned("equal", () => "an image") }));
    const bad = await call(["train", file, "--overfit", "--json"]);
    expect(bad).toMatchObject({
      code: 1,
      err: "clip-ts train: a model that cannot memorize a few pairs cannot learn more",
    });
    expect(JSON.parse(bad.out)).toMatchObject({
      model: null,
      data: file,
      results: { learned: false, differentCaptions: 1 },
    });
  });
});
