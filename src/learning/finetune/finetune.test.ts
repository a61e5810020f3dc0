import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { drawShapes } from "../../../test/train/tiny-run.ts";
import { readParameters } from "../../model/checkpoints/load.ts";
import { tryLock } from "../../core/lock.ts";
import { Random } from "../../core/random.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { loadClip } from "../../model/zero-shot/clip.ts";
import { finetune, type FinetuneConfig, keepAlpha } from "./finetune.ts";
import { finetuneFiles } from "./weight-blends.ts";
import { runFiles } from "../train/run-folder.ts";

const seed = 20_261_127;
let root: string;
let model: string;
let classes: string;
let general: string;
beforeAll(async () => {
  root = await temporaryFolder();
  model = await saveTinyModel(join(root, "original"));
  general = await drawShapes(join(root, "general"), 10);
  classes = join(root, "classes");
  const random = new Random(seed);
  const colours = { "red apple": [180, 0, 0], "green tree": [0, 180, 0], "blue sea": [0, 0, 180] };
  for (const [name, colour] of Object.entries(colours)) {
    await mkdir(join(classes, name), { recursive: true });
    for (let i = 0; i < 10; i++) {
      const [r, g, b] = colour.map((level) => level + random.integer(60)) as [number, number, number];
      await sharp({ create: { width: 8, height: 8, channels: 3, background: { r, g, b } } })
        .png()
        .toFile(join(classes, name, `${i}.png`));
    }
  }
});

const weightsOf = async (folder: string) => readParameters((await readModel(folder)).parameters);

describe(`finetune (seed ${seed})`, () => {
  /** The run that others are compared with: it must end first. */
  const unbroken = () => join(root, "unbroken");
  const settings = { batchSize: 8, learningRate: 0.003, workers: 1 };
  const config = (): FinetuneConfig => ({
    model,
    data: classes,
    general,
    maxLoss: 1,
    recipe: "some",
    epochs: 8,
    settings,
  });

  it("learns classes, measures all blends on both sets, and keeps one that can be loaded", async () => {
    const out = unbroken();
    const told: string[] = [];
    const { record, training, skipped } = await finetune(config(), {
      out,
      onPlan: ({ recipe }, pairs) => told.push(recipe, JSON.stringify(pairs)),
      onScoring: (alpha, images, of) => void (images === of && told.push(String(alpha))),
    });
    // A fifth of each class is held out.
    expect(told.slice(0, 2)).toEqual(["some", '{"train":24,"validation":6,"general":10}']);
    expect(told.slice(2).map(Number)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(training).toMatchObject({ finished: true, steps: 24, findings: [] });
    expect(skipped).toEqual([]);
    const { sweep, alpha } = record!;
    expect(sweep[0]).toMatchObject({ validation: { count: 6, classes: 3 }, general: { count: 10, classes: 10 } });
    // Measured: 1/3 before, and 1 behind.
    expect(sweep[0]!.validation.top1).toBeLessThan(0.7);
    expect(sweep.at(-1)!.validation.top1).toBeGreaterThan(0.9);
    // The tuned weights score what the run's own validation says of them.
    expect(sweep.at(-1)!.validation).toEqual(training.scores);
    const best = Math.max(...sweep.map(({ validation }) => validation.top1));
    expect(alpha).toBe(sweep.find(({ validation }) => validation.top1 === best)!.alpha);

    const [original, tuned, kept] = [
      await weightsOf(model),
      await weightsOf(join(out, "tuned/model")),
      await weightsOf(join(out, "model")),
    ];
    for (const [path, { data }] of kept)
      data.forEach((value, i) => {
        const wanted = (1 - alpha) * original.get(path)!.data[i]! + alpha * tuned.get(path)!.data[i]!;
        expect(value, path).toBe(Math.fround(wanted));
      });
    await using clip = await loadClip(join(out, finetuneFiles.model));
    const [first] = await clip.classify(join(classes, "green tree", "1.png"), ["red apple", "green tree"]);
    expect(first!.label).toBe("green tree");
    expect((await readdir(out)).sort()).toEqual(["finetune.json", "model", "tuned"]);
    expect(JSON.parse(await readFile(join(out, finetuneFiles.record), "utf8"))).toEqual(record);
  });

  it("goes on where it was stopped, in the training or while blends are measured, to the same bytes", async () => {
    const out = join(root, "broken-off");
    const inTraining = new AbortController();
    const onProgress = ({ step }: { step: number }) => step === 7 && inTraining.abort();
    expect(await finetune(config(), { out, signal: inTraining.signal, onProgress })).toMatchObject({
      training: { finished: false, steps: 7 },
      record: undefined,
    });
    const message = `${out} has no finished fine-tuning: finetune.json is missing`;
    await expect(keepAlpha(out, 1)).rejects.toMatchObject({ code: "CLIP_TRAIN", message });
    const inSweep = new AbortController();
    const onScoring = (alpha: number) => alpha === 0.1 && inSweep.abort();
    expect(await finetune(config(), { out, resume: true, signal: inSweep.signal, onScoring })).toMatchObject({
      training: { finished: true },
      record: undefined,
    });
    await finetune(config(), { out, resume: true });
    for (const name of ["finetune.json", "model/model.safetensors", "tuned/metrics.jsonl"])
      expect((await readFile(join(out, name))).equals(await readFile(join(unbroken(), name))), name).toBe(true);
  });

  it("takes captions and validation as they are given, names what cannot be read, and puts any other blend into the model later", async () => {
    const images = await drawShapes(join(root, "captioned"), 20);
    await writeFile(join(images, "3.png"), "no image");
    const broken = await drawShapes(join(root, "broken"), 5);
    await writeFile(join(broken, "1.png"), "no image");
    const [out, mine] = [join(root, "low-rank"), await saveTinyModel(join(root, "mine"))];
    const sources = { data: images, validation: images, general: broken };
    const { record, skipped } = await finetune(
      { model: mine, ...sources, alpha: 0.25, settings: { ...settings, steps: 9 } },
      { out },
    );
    expect(record).toMatchObject({
      ...{ data: images, validation: images, general: broken, pairs: { train: 20, validation: 20, general: 5 } },
      ...{ alpha: 0.25, why: "as given", plan: { recipe: "few" } },
    });
    expect(record!.sweep[0]).toMatchObject({
      validation: { count: 19, classes: 20 },
      general: { count: 4, classes: 5 },
    });
    expect(skipped.map(({ image }) => image).sort()).toEqual([join(broken, "1.png"), join(images, "3.png")]);

    const kept = () => weightsOf(join(out, finetuneFiles.model));
    const tuned = await weightsOf(join(out, finetuneFiles.tuned, runFiles.model));
    const locked: boolean[] = [];
    const onRecord = () => Promise.resolve(void locked.push(existsSync(join(out, runFiles.lock))));
    expect(await keepAlpha(out, 1, onRecord)).toEqual({ ...record, alpha: 1 });
    expect([locked, existsSync(join(out, runFiles.lock))]).toEqual([[true], false]);
    expect(await kept()).toEqual(tuned);
    await keepAlpha(out, 0);
    const original = await weightsOf(mine);
    expect(await kept()).toEqual(original);
    // What was trained are changes of low rank to the blocks' matrices, which are merged before they are blended.
    const changed = [...original].filter(([path, { data }]) =>
      data.some((value, i) => value !== tuned.get(path)!.data[i]),
    );
    expect(changed.map(([path]) => path).every((path) => /blocks.*weight|^logit/.test(path))).toBe(true);
    expect(changed.length).toBeGreaterThan(4);

    await expect(keepAlpha(out, 1.5)).rejects.toMatchObject({
      code: "CLIP_USAGE",
      message: "keepAlpha: alpha must be a number from 0 (original) to 1 (tuned), got 1.5",
    });
    await saveTinyModel(mine, { parameters: tuned });
    await expect(keepAlpha(out, 0.5)).rejects.toMatchObject({
      code: "CLIP_TRAIN",
      message: `the weights of ${mine} have changed since the fine-tuning; restore them, or fine-tune again`,
    });
  });

  it.each([
    [
      { settings: { train: "elsewhere" } },
      "CLIP_CONFIG",
      "train follows from model, data and validation; leave it out",
    ],
    [{ settings: { stepz: 5 } }, "CLIP_CONFIG", 'stepz is unknown; did you mean "steps"?'],
    [{ alpha: -1 }, "CLIP_USAGE", "alpha must be a number from 0 (original) to 1 (tuned), got -1"],
    [{ data: "/nowhere" }, "CLIP_DATA", "/nowhere cannot be opened"],
    [{ model: "/nowhere" }, "CLIP_FILE", "/nowhere"],
  ])("refuses %j before it trains", async (change, code, message) => {
    const refused = finetune({ ...config(), ...change } as FinetuneConfig, { out: join(root, "refused") });
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
    expect(existsSync(join(root, "refused"))).toBe(false);
  });

  it("refuses a folder that another process writes, to train and to keep a blend", async () => {
    const lock = await tryLock(join(unbroken(), runFiles.lock));
    try {
      for (const refused of [
        () => finetune(config(), { out: unbroken(), resume: true }),
        () => keepAlpha(unbroken(), 1),
      ])
        await expect(refused()).rejects.toThrow(/another process writes the run in .*unbroken;/);
    } finally {
      await lock![Symbol.asyncDispose]();
    }
  });

  it("refuses a folder that holds a run already", async () => {
    const refused = finetune(config(), { out: unbroken() });
    await expect(refused).rejects.toMatchObject({
      code: "CLIP_TRAIN",
      message: expect.stringContaining("holds a run already") as string,
    });
  });
});
