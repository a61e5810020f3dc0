import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { photoAugment } from "../../src/inputs/image/augment.ts";
import { loadClip } from "../../src/index.ts";
import type { FinetuneRecord } from "../../src/learning/finetune/finetune.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { drawShapes } from "../train/tiny-run.ts";
import { call } from "./call.ts";

const seed = 20_261_128;
let root: string;
let model: string;
let data: string;
let out: string;
beforeAll(async () => {
  root = await temporaryFolder();
  model = await saveTinyModel(join(root, "original"));
  [data, out] = [join(root, "classes"), join(root, "run")];
  const random = new Random(seed);
  for (const [name, colour] of Object.entries({ "red apple": [180, 0, 0], "blue sea": [0, 0, 180] })) {
    await mkdir(join(data, name), { recursive: true });
    for (let i = 0; i < 10; i++) {
      const [r, g, b] = colour.map((level) => level + random.integer(60)) as [number, number, number];
      const create = { width: 8, height: 8, channels: 3, background: { r, g, b } } as const;
      await sharp({ create })
        .png()
        .toFile(join(data, name, `${i}.png`));
    }
  }
});

const documentOf = (out: string) => JSON.parse(out) as { results: FinetuneRecord & { readonly original: string } };

describe(`clip-ts finetune (seed ${seed})`, () => {
  it("says how it trains and why, prints both sets for each blend, and writes a page; later another blend", async () => {
    const general = await drawShapes(join(root, "general"), 6);
    const settingsFile = join(root, "settings.json");
    await writeFile(settingsFile, JSON.stringify({ lockText: true, workers: 1, maxImagePixels: 1000 }));
    const args = [data, "--model", model, "--out", out, "--general", general, "--template", "a picture of a {}"];
    const settings = [
      "--recipe",
      "some",
      "--epochs",
      "4",
      "--batch-size",
      "8",
      "--learning-rate",
      "0.003",
      "--settings",
      settingsFile,
    ];
    const called = await call(["finetune", ...args, ...settings, "--max-loss", "100"]);
    expect(called.code).toBe(0);
    expect(called.err).toMatch(/^16 pairs to train on, 4 held out for validation, 6 of a general set$/m);
    expect(called.err).toContain('recipe "some" (--recipe chooses another)\n\nsetting ');
    expect(called.err).toMatch(/^layerDecay +0\.7 +early blocks have general features/m);
    expect(called.err).toMatch(/^steps +8 +each pair 4 times; as given$/m);
    expect(called.err).toMatch(/^lockText +true +as given$/m);
    expect(called.err).toMatch(/^maxImagePixels +1000 +as given$/m);
    const [head, ...rows] = called.out.split("\n");
    expect(head).toMatch(/^alpha +yours +general/);
    expect(rows[0]).toMatch(/^ *0\.0 +\d+\.\d % +\d+\.\d % +original/);
    expect(rows[10]).toMatch(/^ *1\.0 +\d+\.\d % +\d+\.\d % +tuned/);
    expect(called.out.match(/kept$/gm)).toHaveLength(1);
    expect(called.out).toContain(`model   ${join(out, "model")}\nreport  ${join(out, "report.html")}`);
    const page = await readFile(join(out, "report.html"), "utf8");
    expect(page).toContain('<a href="tuned/report.html">');
    expect(await readFile(join(out, "tuned", "report.html"), "utf8")).toContain("training report");

    const later = await call(["finetune", "--run", out, "--alpha", "0", "--json"]);
    expect(later).toMatchObject({ code: 0, err: "" });
    const { results, ...document } = documentOf(later.out);
    expect(document).toEqual({ model, data, skipped: [] });
    expect(results).toMatchObject({ alpha: 0, original: model, model: join(out, "model"), pairs: { train: 16 } });
    expect(results.sweep).toHaveLength(11);
    await using before = await loadClip(model);
    await using kept = await loadClip(join(out, "model"));
    const image = join(data, "red apple", "0.png");
    expect(await kept.classify(image, ["red apple", "sun"])).toEqual(
      await before.classify(image, ["red apple", "sun"]),
    );
  });

  it("stops with a checkpoint, says how to go on, and does", async () => {
    const folder = join(root, "stopped");
    const start = ["finetune", data, "--model", model, "--out", folder, "--epochs", "1", "--json"];
    const config = join(root, "long settings.json");
    await writeFile(config, JSON.stringify({ steps: 2, augment: photoAugment }));
    const stop = new AbortController();
    const progress = (line: string) => void (line.startsWith("step 1/") && stop.abort());
    const args = [...start, "--settings", config];
    const stopped = await call(args, { signal: stop.signal, progress });
    expect(stopped).toMatchObject({ code: 130, out: "" });
    expect(stopped.err).toContain("no general set: only your images are measured");
    expect(stopped.err).toContain(
      `stopped after step 1; continue with: clip-ts ${start.join(" ")} --settings '${config}' --resume`,
    );
    expect(stopped.err).toMatch(/^augment +set +as given$/m);
    expect(stopped.err).not.toMatch(/maxImagePixels|no checkpoint/);
    const { code, out: printed } = await call([...args, "--resume"]);
    expect(code).toBe(0);
    expect(documentOf(printed).results.why).toContain("without a general set, losses cannot be measured");
  });

  it.each([
    [[], 2, "give the data to train on; or, to blend a finished run again, --run and --alpha"],
    [["--run", "runs/pets"], 2, "give the data to train on; or, to blend a finished run again, --run and --alpha"],
    [["x", "--alpha", "2"], 2, "It must be a number from 0 to 1."],
    [["/nowhere", "--model", "pictograms"], 1, "/nowhere cannot be opened"],
    [["--run", "/nowhere", "--alpha", "0.5"], 1, "/nowhere has no finished fine-tuning: finetune.json is missing"],
  ])("refuses %j", async (args, code, message) => {
    const called = await call(["finetune", ...args]);
    expect(called).toMatchObject({ code, out: "" });
    expect(called.err).toContain(message);
  });
});
