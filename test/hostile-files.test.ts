import { mkdir, open, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readModel } from "../src/embedding/index.ts";
import { findModelFiles } from "../src/embedding/model-files.ts";
import { hostileFiles, readDamaged } from "./hostile-files.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const root = await temporaryFolder();
const files = await hostileFiles(join(root, "files"));

/** Another part of what `scripts/fuzz-texts.ts` reads more of. */
const [seed, count] = [1_000_000, 60];

describe("damaged copies are read or refused, naming the file, within a second", () => {
  it.each(files.map((file) => [file.name, file] as const))(`%s, seed ${seed}`, async (_, file) => {
    const { refused, slowestMs } = await readDamaged(file, seed, count);
    // Some are refused, or the damage is none; a list of words may be anything.
    if (file.name !== "words.txt") expect(refused).toBeGreaterThan(count / 10);
    expect(slowestMs).toBeLessThan(1000);
  });
});

describe("sizes out of all proportion", () => {
  const own = { embedDim: 16, activation: "gelu" };
  const vision = { kind: "vit", imageSize: 32, patchSize: 16, width: 32, layers: 1, heads: 2 };
  const text = { contextLength: 24, vocabSize: 560, width: 32, layers: 1, heads: 2 };
  const write = async (name: string, config: string): Promise<string> => {
    const folder = join(root, name);
    await mkdir(folder);
    await writeFile(join(folder, "model.safetensors"), "");
    await writeFile(join(folder, "config.json"), config);
    return folder;
  };

  it.each<[string, object, RegExp]>([
    ["layers", { vision: { ...vision, layers: 1e9 } }, /vision\.layers: .*<=1000/],
    ["negative", { text: { ...text, width: -32 } }, /text\.width: .*>0/],
    ["fraction", { text: { ...text, heads: 1.5 } }, /text\.heads: .*expected int/],
    ["beyond", { vision: { ...vision, width: 2 ** 53 } }, /vision\.width: .*<=65536/],
    [
      "stages",
      { vision: { kind: "resnet", imageSize: 64, width: 8, heads: 4, norm: "batch", layers: Array(9).fill(1) } },
      /layers: .*<=8/,
    ],
    ["heads", { vision: { ...vision, heads: 3 } }, /config\.json: vision\.width 32 does not divide into 3 heads/],
    ["grid", { vision: { ...vision, patchSize: 5 } }, /config\.json: imageSize 32 does not divide into a whole grid/],
  ])("are refused before anything is made of that size: %s", async (name, change, message) => {
    const folder = await write(name, JSON.stringify({ ...own, vision, text, ...change }));
    await expect(findModelFiles(folder, {})).rejects.toMatchObject({
      code: "CLIP_CONFIG",
      message: expect.stringMatching(message) as string,
    });
  });

  it("and numbers that are none", async () => {
    const json = JSON.stringify({ ...own, vision, text });
    const infinite = await write("infinite", json.replace('"embedDim":16', '"embedDim":1e999'));
    await expect(findModelFiles(infinite, {})).rejects.toThrow(/embedDim: /);
    const deep = await write("deep", "[".repeat(1_000_000));
    await expect(findModelFiles(deep, {})).rejects.toThrow(/config\.json nests values more than 100 deep/);
  });

  it("of a file that is read whole: 5 GB are not read, a device without an end is not read to it", async () => {
    const folder = await write("large", "");
    await truncate(join(folder, "config.json"), 5e9);
    const before = process.memoryUsage().rss;
    await expect(readModel(folder)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `${join(folder, "config.json")} has more than 16 MiB, the most that such a file may have; is it the right one?`,
    });
    const endless = join(root, "zero.json");
    await symlink("/dev/zero", endless);
    await expect(readModel(folder, { config: endless })).rejects.toThrow(/zero\.json has more than 16 MiB/);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
    const file = await open(join(folder, "config.json"), "w");
    await file.close();
  });
});
