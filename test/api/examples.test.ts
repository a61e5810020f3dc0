import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { pictogramModel } from "../../src/index.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));
const modelMissing = existsSync(pictogramModel) ? "" : " (skipped: the model in the box is not there)";

const folder = await temporaryFolder();
const images = [1, 2].map((seed) => join(folder, `${seed}.png`));
await Promise.all(images.map((path, i) => writeRandomImage(path, i)));

/** What an example prints, line by line. */
async function runExample(name: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, join(examples, name), ...args]);
  return stdout.trimEnd().split("\n");
}

describe(`the examples${modelMissing}`, () => {
  it.skipIf(modelMissing)("01-classify prints each label with its share, together all of it", async () => {
    const lines = await runExample("01-classify.ts", images[0]!);
    expect(lines.map((line) => line.slice(9)).sort()).toEqual(["cat", "dog", "house", "none of these", "tree"]);
    expect(lines.reduce((sum, line) => sum + parseFloat(line), 0)).toBeCloseTo(100, 0);
  });

  it.skipIf(modelMissing)("02-search prints images by cosine, best first", async () => {
    const scores = (await runExample("02-search.ts", folder, "a tree")).map((line) => parseFloat(line));
    expect(scores).toHaveLength(2);
    expect(scores[0]!).toBeGreaterThanOrEqual(scores[1]!);
  });

  it.skipIf(modelMissing)("03-classifier prints one answer for each image", async () => {
    const lines = await runExample("03-classifier.ts", ...images);
    expect(lines.map((line) => line.split(":")[0])).toEqual(images);
  });

  it("04-gradients finds the slope of least squares, 27.9 / 14", async () => {
    const lines = await runExample("04-gradients.ts");
    expect(lines.at(-1)).toBe("step 7: slope 1.993, loss 0.019");
  });

  it("05-train names an image with the model it has trained on it", async () => {
    const pairs = join(folder, "pairs");
    await mkdir(pairs);
    for (const [i, colour] of ["red", "green", "blue", "yellow"].entries()) {
      for (const size of [32, 40, 48, 56]) {
        const image = sharp({ create: { width: size, height: size, channels: 3, background: colour } });
        await image.png().toFile(join(pairs, `${i}-${size}.png`));
        await writeFile(join(pairs, `${i}-${size}.txt`), `a ${colour} card\n`);
      }
    }
    const lines = await runExample("05-train.ts", pairs, join(folder, "run"));
    expect(lines.at(-1)).toBe("a red card: named a red card");
  });

  it("are all run here, but for the page, which test/browser/example.test.ts opens", async () => {
    const names = ["01-classify.ts", "02-search.ts", "03-classifier.ts", "04-gradients.ts", "05-train.ts"];
    expect(await readdir(examples)).toEqual([...names, "browser"]);
  });
});
