/**
 * Renders the pictogram corpus from the npm packages of the icon sets:
 *
 *   npx tsx scripts/pictograms/make-corpus.ts [--out corpus] [--size 72] [--variants 9] [--leave-out emojione]
 *
 * `train.jsonl` holds one line per image: { image, caption: [one is drawn per epoch], artist, name }.
 * `validation.jsonl` (with --leave-out) and `twemoji-test.jsonl` hold one caption per image, each in them once.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Command } from "commander";
import sharp from "sharp";

import { Random } from "../../src/core/random.ts";
import { captionsOf, ConceptIndex, skinTone } from "./captions.ts";
import { namingArtists, readIconSet, spaced, testArtist, trainingArtists, type Drawing } from "./drawings.ts";
import { renderBlend } from "./blends.ts";
import { redraw, svgDocument } from "./redraw.ts";
import { composeScene, renderScene, type Actor } from "./scenes.ts";

interface Row {
  image: string;
  caption: string | string[];
  artist: string;
  name: string;
}

const options = new Command("make-corpus")
  .description("Render the pictogram corpus: training images with captions, and the test.")
  .option("--out <folder>", "where to write", "corpus")
  .option("--size <pixels>", "side of an image", Number, 72)
  .option("--variants <count>", "redrawn versions of each drawing, besides itself", Number, 9)
  .option("--blends <count>", "drawings between two artists, of each thing that two or more draw", Number, 8)
  .option("--scenes <count>", "scenes of two or three drawings", Number, 4000)
  .option("--leave-out <artist>", "naming artist to validate on instead of training on: " + namingArtists.join(", "))
  .option("--seed <number>", "of everything random", Number, 1)
  .parse()
  .opts<{
    out: string;
    size: number;
    variants: number;
    blends: number;
    scenes: number;
    leaveOut?: string;
    seed: number;
  }>();

const { out, size, variants, blends, scenes, leaveOut, seed } = options;
if (leaveOut !== undefined && !namingArtists.some((artist) => artist === leaveOut)) {
  throw new Error(`--leave-out must be one of ${namingArtists.join(", ")}, not "${leaveOut}"`);
}

// One image per thread of libuv's pool is faster than several threads per image this small.
sharp.concurrency(1);
const imagesAtOnce = 4;

const sets = trainingArtists.map(readIconSet);
const drawings = sets.flatMap((set) => set.drawings);
const concepts = new ConceptIndex(sets);

const named = drawings.filter(({ artist }) => namingArtists.some((naming) => naming === artist));
const firstNames = new Map<string, string>();
for (const drawing of named) {
  const key = concepts.keyOf(drawing);
  if (drawing.artist !== leaveOut && !firstNames.has(key)) firstNames.set(key, drawing.name);
}
const trained = drawings.filter((drawing) => drawing.artist !== leaveOut && firstNames.has(concepts.keyOf(drawing)));

const train: Row[] = [];
const tasks: (() => Promise<unknown>)[] = [];
const actors: Actor[] = [];
const captionLists = new Map<string, string[]>();
const plainDrawings = new Map<string, Drawing[]>();

trained.forEach((drawing, index) => {
  const key = concepts.keyOf(drawing);
  const tone = skinTone(drawing.name);
  const concept = concepts.concept(key, firstNames.get(key)!);
  const listKey = `${key} ${tone ?? ""}`;
  const caption = captionLists.get(listKey) ?? captionsOf(concept, tone, new Random(seed, captionLists.size));
  captionLists.set(listKey, caption);
  // A skin tone is the same drawing in another colour: redrawn as often as the plain one it would be half the corpus.
  for (let variant = 0; variant <= (tone === undefined ? variants : Math.min(1, variants)); variant++) {
    const image = imagePath(drawing, variant);
    const body = variant === 0 ? drawing.body : redraw(drawing, new Random(seed, index, variant));
    train.push({ image, caption, artist: drawing.artist, name: drawing.name });
    tasks.push(() => render(drawing, body, image));
  }
  if (tone !== undefined) return;
  actors.push({ file: join(out, imagePath(drawing, 0)), name: concept.name });
  plainDrawings.set(listKey, [...(plainDrawings.get(listKey) ?? []), drawing]);
});

for (const [listKey, drawings] of plainDrawings) {
  if (new Set(drawings.map(({ artist }) => artist)).size < 2) continue;
  for (let i = 0; i < blends; i++) {
    const index = train.length;
    const random = new Random(seed, 0xb1e4d, index);
    const [first, second] = random.permutation(drawings.length);
    const versions = [drawings[first!]!, drawings[second!]!] as const;
    const image = `blends/${String(index).padStart(5, "0")}.png`;
    train.push({ image, caption: captionLists.get(listKey)!, artist: "blend", name: versions[0].name });
    tasks.push(() => {
      const [one, other] = versions.map((drawing) => ({ body: redraw(drawing, random), side: drawing.side }));
      return renderBlend([one!, other!], size, random, join(out, image));
    });
  }
}

const sceneTasks = Array.from({ length: scenes }, (_, index) => {
  const scene = composeScene(actors, new Random(seed, 0x5ce9e, index));
  const image = `scenes/${String(index).padStart(5, "0")}.png`;
  train.push({ image, caption: [...scene.captions], artist: "scene", name: scene.captions[0]! });
  return () => renderScene(scene, size, join(out, image));
});

const names = new Set(named.map(({ name }) => name));
const test = readIconSet(testArtist).drawings.filter(({ name }) => names.has(name));
const testRows = test.map((drawing) => plainRow(drawing, spaced(drawing.name)));

const validation: Row[] = [];
for (const drawing of drawings) {
  const firstName = firstNames.get(concepts.keyOf(drawing));
  if (drawing.artist === leaveOut && firstName !== undefined && skinTone(drawing.name) === undefined) {
    validation.push(plainRow(drawing, concepts.concept(concepts.keyOf(drawing), firstName).name));
  }
}

for (const folder of [...trainingArtists, testArtist, "blends", "scenes"])
  mkdirSync(join(out, folder), { recursive: true });
await runAll("drawings", tasks);
await runAll("scenes", sceneTasks);
writeRows("train.jsonl", train);
writeRows("twemoji-test.jsonl", testRows);
if (leaveOut !== undefined) writeRows("validation.jsonl", validation);

function plainRow(drawing: Drawing, caption: string): Row {
  const image = imagePath(drawing, 0);
  // Opaque, as a user's images are: preprocessing drops transparency and would leave black.
  tasks.push(() => render(drawing, drawing.body, image, "white"));
  return { image, caption, artist: drawing.artist, name: drawing.name };
}

function imagePath({ artist, name }: Drawing, variant: number): string {
  return `${artist}/${name}${variant === 0 ? "" : `~${variant}`}.png`;
}

function render(drawing: Drawing, body: string, image: string, ground?: string): Promise<unknown> {
  const rendered = sharp(Buffer.from(svgDocument(drawing, body, size)));
  return (ground === undefined ? rendered.ensureAlpha() : rendered.flatten({ background: ground }))
    .png({ compressionLevel: 4 })
    .toFile(join(out, image));
}

async function runAll(what: string, jobs: readonly (() => Promise<unknown>)[]): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < jobs.length) {
      const job = jobs[next++]!;
      if (next % 500 === 0 || next === jobs.length) process.stderr.write(`\r${what}: ${next} of ${jobs.length}`);
      await job();
    }
  };
  await Promise.all(Array.from({ length: imagesAtOnce }, work));
  process.stderr.write("\n");
}

function writeRows(name: string, rows: readonly Row[]): void {
  const file = join(out, name);
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  process.stderr.write(`${file}: ${rows.length} images\n`);
}
