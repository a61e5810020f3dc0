import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { pictogramModel } from "../../src/index.ts";
import { temporaryFolder } from "../temporary-folder.ts";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));
const modelMissing = existsSync(pictogramModel) ? "" : " (skipped: the model in the box is not there)";

const folder = await temporaryFolder();
const samples = fileURLToPath(new URL("../../assets/samples", import.meta.url));
const sample = (name: string) => join(samples, `${name}.png`);

/** The lines that an example prints. */
async function runExample(name: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, join(examples, name), ...args]);
  return stdout.trimEnd().split("\n");
}

/** A folder of class folders; a class `name` has the images of `files`. */
async function classFolders(name: string, files: Readonly<Record<string, readonly Buffer[]>>): Promise<string> {
  const root = join(folder, name);
  for (const [label, images] of Object.entries(files)) {
    await mkdir(join(root, label), { recursive: true });
    for (const [i, image] of images.entries()) await writeFile(join(root, label, `${i}.png`), image);
  }
  return root;
}

const colours = ["red", "green", "blue", "yellow"];
const card = (background: string, size: number) =>
  sharp({ create: { width: size, height: size, channels: 3, background } })
    .png()
    .toBuffer();
const cards = async (...sizes: number[]) =>
  Object.fromEntries(
    await Promise.all(colours.map(async (c) => [c, await Promise.all(sizes.map((size) => card(c, size)))] as const)),
  );

describe(`the examples${modelMissing}`, () => {
  it.skipIf(modelMissing)("01-classify prints each label with its share, together all of it", async () => {
    const lines = await runExample("01-classify.ts", sample("house"));
    expect(lines[0]!.slice(9)).toBe("house");
    expect(lines.map((line) => line.slice(9)).sort()).toEqual(["cat", "dog", "house", "none of these", "tree"]);
    expect(lines.reduce((sum, line) => sum + parseFloat(line), 0)).toBeCloseTo(100, 0);
  });

  it.skipIf(modelMissing)("02-classifier prints the labels of each image", async () => {
    const names = ["snail", "bicycle", "house"];
    expect(await runExample("02-classifier.ts", ...names.map(sample))).toEqual(
      names.map((name) => `${sample(name)}: ${name}`),
    );
  });

  it.skipIf(modelMissing)(
    "03-search embeds a folder once, and prints the most similar images, best first",
    async () => {
      const out = join(folder, "vectors");
      const first = await runExample("03-search.ts", samples, out, "a snail");
      expect(first[0]).toBe(`wrote 8 vectors: ${join(out, "00000.parquet")}`);
      const hits = first.slice(1);
      expect(hits).toHaveLength(5);
      expect(hits[0]).toMatch(/^0\.\d{3} {2}snail\.png$/);
      expect(hits.toSorted((a, b) => parseFloat(b) - parseFloat(a))).toEqual(hits);
      expect(await runExample("03-search.ts", samples, out, "a snail")).toEqual(hits);
    },
  );

  it.skipIf(modelMissing)("04-probe learns four colours", async () => {
    const train = await classFolders("train", await cards(32, 40, 48, 56, 64));
    const test = await classFolders("test", await cards(36, 60));
    const lines = await runExample("04-probe.ts", train, test);
    expect(lines[0]).toMatch(/^accuracy 100\.0 %, λ \d/);
    expect(lines.slice(1)).toEqual(colours.toSorted().map((name) => `${name}: 100.0 %`));
  });

  it.skipIf(modelMissing)("05-evaluate prints accuracy, by class too, and confusions", async () => {
    const [snail, pizza] = await Promise.all(["snail", "pizza"].map((name) => readFile(sample(name))));
    // The image of the third class is another snail.
    const labelled = { snail: [snail!], pizza: [pizza!], house: [snail!] };
    const lines = await runExample("05-evaluate.ts", await classFolders("labelled", labelled));
    expect(lines[0]).toBe("top-1 66.7 %");
    expect(lines.slice(1)).toEqual([
      ...["house: 0.0 % of 1", "pizza: 100.0 % of 1", "snail: 100.0 % of 1"],
      "1 × house taken for snail",
    ]);
  });

  it("06-gradients prints the gradient's program, and finds the slope of least squares, 27.9 / 14", async () => {
    const lines = await runExample("06-gradients.ts");
    expect(lines.find((line) => line.startsWith("return"))).toMatch(/^return gradient = %\d+$/);
    expect(Number(/slope (.+),/.exec(lines.at(-1)!)![1])).toBeCloseTo(27.9 / 14, 1);
  });

  it("07-train classifies an image with the model it has trained on it", async () => {
    const pairs = join(folder, "pairs");
    await mkdir(pairs);
    for (const [colour, images] of Object.entries(await cards(32, 40, 48, 56)))
      for (const [i, image] of images.entries()) {
        await writeFile(join(pairs, `${colour}-${i}.png`), image);
        await writeFile(join(pairs, `${colour}-${i}.txt`), `a ${colour} card\n`);
      }
    const lines = await runExample("07-train.ts", pairs, join(folder, "run"));
    expect(lines.at(-1)).toBe("a blue card: classified as a blue card");
  });

  it("08-own-model learns its pairs, and matches them again when loaded", async () => {
    const file = join(folder, "own.safetensors");
    const lines = await runExample("08-own-model.ts", file);
    expect(existsSync(file)).toBe(true);
    expect(parseFloat(lines.at(-2)!.split(" ").at(-1)!)).toBeLessThan(0.1);
    expect(parseFloat(lines.at(-1)!.split(" ").at(-1)!)).toBeGreaterThan(0.9);
  });

  it("are all run here, but for the page, which test/browser/example.test.ts opens; each is short", async () => {
    const names = ["classify", "classifier", "search", "probe", "evaluate", "gradients", "train", "own-model"];
    const files = names.map((name, i) => `0${i + 1}-${name}.ts`);
    expect(await readdir(examples)).toEqual([...files, "browser"]);
    for (const file of files) {
      const text = await readFile(join(examples, file), "utf8");
      expect(text.split("\n").length, file).toBeLessThanOrEqual(40);
      expect(/^(\/\/.*\n)+/.exec(text)?.[0], file).toContain(`npx tsx examples/${file}`);
    }
  });
});
