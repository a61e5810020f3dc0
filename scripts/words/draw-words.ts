/**
 * Draws words, black on white, as class folders:
 *
 *   npx tsx scripts/words/draw-words.ts [--out words] [--words 1000] [--size 96] [--seed 1]
 *
 * `train` has words in seven faces of three families; `seen` has a hundred of them in a family that is not among these, `unseen` a hundred
 * other words in that family.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { makeFolder, writeFileAtomic } from "../../src/core/atomic-write.ts";
import { Random } from "../../src/core/random.ts";
import { pictogramModel } from "../../src/index.ts";
import { drawWord, readFace } from "./draw.ts";

const trainingFaces = [
  ...["roboto-latin-400-normal", "roboto-latin-700-normal", "roboto-latin-400-italic"],
  ...["lora-latin-400-normal", "lora-latin-700-normal"],
  ...["inconsolata-latin-400-normal", "inconsolata-latin-700-normal"],
];
const testFaces = ["pt-sans-latin-400-normal", "pt-sans-latin-700-normal"];
/** Words of each test. */
const testWords = 100;

const { out, words, size, seed } = new Command("draw-words")
  .description("Draw words, black on white, as class folders.")
  .option("--out <folder>", "where to write", "words")
  .option("--words <count>", "words to train on", Number, 1000)
  .option("--size <pixels>", "side of an image", Number, 96)
  .option("--seed <number>", "chooses the words", Number, 1)
  .parse()
  .opts<{ out: string; words: number; size: number; seed: number }>();

/** Words that pictograms knows, of a length that can be read at its size. */
const known = (await readFile(join(pictogramModel, "words.txt"), "utf8")).split("\n");
const short = known.filter((word) => /^[a-z]{3,7}$/.test(word));
const shuffled = Array.from(new Random(seed).permutation(short.length), (i) => short[i]!);

await drawAll("train", shuffled.slice(0, words), trainingFaces);
await drawAll("seen", shuffled.slice(0, testWords), testFaces);
await drawAll("unseen", shuffled.slice(words, words + testWords), testFaces);

async function drawAll(folder: string, names: readonly string[], faces: readonly string[]): Promise<void> {
  const fonts = await Promise.all(faces.map(async (face) => ({ face, font: await readFace(face) })));
  for (const name of names) {
    const place = join(out, folder, name);
    await makeFolder(place);
    for (const { face, font } of fonts)
      await writeFileAtomic(join(place, `${face}.png`), [await drawWord(name, font, size)]);
  }
  console.log(`${join(out, folder)}: ${names.length} words in ${faces.length} faces`);
}
