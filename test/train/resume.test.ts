import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { runFiles } from "../../src/learning/train/run-folder.ts";
import { train } from "../../src/learning/train/train.ts";
import { type TrainConfig } from "../../src/learning/train/config.ts";
import { type TrainResult } from "../../src/learning/train/train-options.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { expectSameOutcome } from "./compare.ts";
import { systemError, watchDisk } from "./faulty-disk.ts";
import { describeShapes, drawShapes, tinyResNet, tinyRun } from "./tiny-run.ts";

let root: string;
let images: string;
let described: string;
beforeAll(async () => {
  root = await temporaryFolder();
  images = await drawShapes(join(root, "images"));
  // What is broken must not show in the curve either.
  await writeFile(join(images, "4.png"), "no image");
  await writeFile(join(images, "no-caption.png"), "");
  described = await describeShapes(await drawShapes(join(root, "described")));
});
let stopWatching: () => void = () => undefined;
afterEach(() => {
  stopWatching();
  vi.unstubAllEnvs();
});

let folders = 0;
const newFolder = () => join(root, `run-${folders++}`);

/** Goes on until the given step, as after Ctrl-C. */
async function runUntil(step: number, config: TrainConfig, out: string): Promise<TrainResult> {
  const stop = new AbortController();
  if (step === 0) stop.abort();
  const onProgress = (progress: { step: number }) => progress.step === step && stop.abort();
  return train(config, { out, resume: true, signal: stop.signal, onProgress });
}

/** With everything that has a state: random augmentation, dropped patches, epochs, clipping, an average, validation. */
const settings = () => ({
  steps: 14,
  warmupSteps: 3,
  saveEvery: 4,
  validation: images,
  validateEvery: 5,
  emaDecay: 0.9,
  gradClipNorm: 20,
  patchDropout: 0.5,
  augment: {
    geometry: { kind: "randomPlacement", background: "random", scale: [0.7, 1], shift: 0.1, rotation: 15, warp: 0 },
    blur: 0.5,
    brightness: 0.2,
    contrast: 0.2,
    saturation: 0.2,
    grayscale: 0.1,
    erase: 0,
  },
});

describe("a training run, vit", () => {
  let config: TrainConfig;
  let unbroken: string;
  beforeAll(async () => {
    config = tinyRun(images, settings());
    unbroken = newFolder();
    await train(config, { out: unbroken });
  });

  it("leaves the same bytes when it is made again", async () => {
    const again = newFolder();
    expect(await train(config, { out: again })).toMatchObject({ finished: true, steps: 14 });
    await expectSameOutcome(again, unbroken);
  });

  it("leaves the same bytes when it is stopped at several steps and resumed", async () => {
    const out = newFolder();
    // While its data are read there is nothing to save.
    await expect(runUntil(0, config, out)).rejects.toMatchObject({ name: "AbortError" });
    for (const step of [1, 8, 13]) {
      expect(await runUntil(step, config, out)).toMatchObject({ finished: false, steps: step });
    }
    const end = await train(config, { out, resume: true });
    expect(end).toMatchObject({ finished: true, steps: 14, scores: { count: 29, classes: 30 } });
    expect(end.skipped.map(({ image }) => image)).toEqual(
      ["4.png", "no-caption.png"].map((name) => join(images, name)),
    );
    await expectSameOutcome(out, unbroken);
  });

  it.each([
    // A checkpoint has more than 100 parts: this is in the middle of the second, after step 8.
    ["a checkpoint", runFiles.checkpoint, 170, "4"],
    ["the model", "model.safetensors", 5, "14"],
  ])("says that the disk is full while it saves %s, and leaves the same bytes later", async (_, wanted, n, steps) => {
    const out = newFolder();
    let count = 0;
    stopWatching = watchDisk((call, file) => {
      if (call === "append" && file.startsWith(wanted) && count++ >= n) throw systemError("ENOSPC");
    });
    await expect(train(config, { out })).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringMatching(
        /: the disk is full: free some space and try again; any previous content is kept$/,
      ) as string,
    });
    stopWatching();
    const { metadata } = await openSafetensors(join(out, runFiles.checkpoint));
    expect(metadata.get("steps")).toBe(steps);
    // Even where no step is left to make there are scores and predictions.
    const { finished, scores, predictions } = await train(config, { out, resume: true });
    expect(finished).toBe(true);
    expect(predictions).toHaveLength(29);
    const metrics = await readFile(join(out, runFiles.metrics), "utf8");
    expect(JSON.parse(metrics.trimEnd().split("\n").at(-1)!)).toEqual({ step: 14, validation: scores });
    await expectSameOutcome(out, unbroken);
  });
});

describe("a training run on shards, a class folder and captions, mixed", () => {
  it("leaves the same bytes when it is stopped in the middle of an epoch and resumed, with another number of threads", async () => {
    vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
    const classes = join(root, "classes");
    for (const [i, name] of ["red_circle", "red_square", "blue_bar"].entries()) {
      await mkdir(join(classes, name), { recursive: true });
      await copyFile(join(images, `${[0, 5, 17][i]}.png`), join(classes, name, "only one.png"));
    }
    const shards = join(root, "shards");
    await mkdir(shards);
    const names = (await readdir(images)).filter((name) => /^\d+\./.test(name)).sort();
    execFileSync("tar", ["-C", images, "-cf", join(shards, "0.tar"), ...names.slice(0, 30)]);
    execFileSync("tar", ["-C", images, "-czf", join(shards, "1.tar.gz"), ...names.slice(30)]);
    // Cut in the middle: what is lost must be lost again after the resume.
    await truncate(join(shards, "0.tar"), (await stat(join(shards, "0.tar"))).size * 0.5);
    const config = tinyRun(images, {
      ...settings(),
      train: [
        { source: shards, weight: 1.5 },
        { source: classes, classTemplates: ["a {}", "a picture of a {}"], weight: 2 },
        { source: images, weight: 0.5 },
      ],
      validation: { source: classes, classTemplates: ["a {}"] },
      shuffleBuffer: 10,
    });
    const [unbroken, out] = [newFolder(), newFolder()];
    const end = await train(config, { out: unbroken });
    expect(end.skipped.map(({ image, reason }) => `${basename(image)} ${reason}`)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(
          /^0\.tar the shard is cut or damaged; 10 pairs could be read, what came after is lost: it ends/,
        ),
        expect.stringMatching(/^4\.png .*not an image/),
        expect.stringMatching(/^no-caption\.png there is no \.txt/),
      ]),
    );
    await runUntil(3, config, out);
    await rm(join(root, "cache"), { recursive: true }); // what is kept there can be made again
    await runUntil(9, { ...config, workers: 2 }, out);
    await train(config, { out, resume: true });
    await expectSameOutcome(out, unbroken);
  });
});

describe("a training run in chunks", () => {
  const objective = { kind: "clips", captionLength: 20 };
  it.each([
    ["resnet with batch norm", { model: tinyResNet }],
    ["with synthetic captions and a decoder", { objective, emaDecay: 0.9 }],
  ])("leaves the same bytes when it is stopped and resumed, %s", async (_, change) => {
    const config = tinyRun(described, { ...change, steps: 6, chunkSize: 4, saveEvery: 2 });
    const [unbroken, out] = [newFolder(), newFolder()];
    await train(config, { out: unbroken });
    await runUntil(3, config, out);
    await train(config, { out, resume: true });
    await expectSameOutcome(out, unbroken);
  });
});
