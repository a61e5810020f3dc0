/**
 * Preprocessing against sharp's own resize, and augmentation: `npx tsx bench/preprocess.ts [--json]`.
 *
 * Photos of 640 × 480 from ../shared, else made-up ones, in turn through both: file to `pixelValues` by this library,
 * equal to Pillow; file to 224 × 224 bytes by sharp, equal to nothing else. Then 96-pixel drawings to augmented 64-pixel
 * samples, on one core.
 */
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { Random } from "../src/core/random.ts";
import { augmentImage } from "../src/inputs/image/augment.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { decodeImage } from "../src/inputs/image/decode.ts";
import { normalizePixels } from "../src/inputs/image/normalize.ts";
import { preprocessImage } from "../src/inputs/image/preprocess.ts";
import type { AugmentConfig } from "../src/inputs/image/augment.ts";

const rounds = 20;
const samples = 20_000;
const drawings = 64;
const allOfIt: AugmentConfig = {
  geometry: { kind: "randomPlacement", background: "random", scale: [0.6, 1], shift: 0.1, rotation: 15, warp: 0 },
  blur: 1,
  brightness: 0.2,
  contrast: 0.2,
  saturation: 0.2,
  grayscale: 0.05,
  erase: 0,
};

/** 20 JPEGs like photos in size and detail: soft shapes with grain. */
async function makePhotos(folder: string): Promise<string[]> {
  const random = new Random(1);
  return Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const coarse = Uint8Array.from({ length: 16 * 12 * 3 }, () => random.integer(256));
      const soft = sharp(coarse, { raw: { width: 16, height: 12, channels: 3 } }).resize(640, 480, { kernel: "cubic" });
      const grain = await soft.raw().toBuffer();
      for (let at = 0; at < grain.length; at++)
        grain[at] = Math.max(0, Math.min(255, grain[at]! + 12 * random.normal()));
      const path = join(folder, `${i}.jpg`);
      const photo = sharp(grain, { raw: { width: 640, height: 480, channels: 3 } });
      await writeFile(path, await photo.jpeg({ quality: 90 }).toBuffer());
      return path;
    }),
  );
}

async function findPhotos(folder: string): Promise<{ source: string; photos: string[] }> {
  const coco = fileURLToPath(new URL("../../shared/data/coco/images/", import.meta.url));
  if (!existsSync(coco)) return { source: "made up, as ../shared is not there", photos: await makePhotos(folder) };
  const photos: string[] = [];
  for (const file of readdirSync(coco)) {
    const { width, height } = await sharp(join(coco, file)).metadata();
    if (width === 640 && height === 480) photos.push(join(coco, file));
  }
  return { source: "COCO 2017", photos };
}

const summarise = (figures: readonly number[]) => {
  const sorted = figures.toSorted((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]!, max: sorted.at(-1)! };
};

async function benchPreprocess(photos: readonly string[]) {
  sharp.cache(false); // else sharp would not read a file again that it has just read
  const times = { ours: [] as number[], decode: [] as number[], sharp: [] as number[], ratio: [] as number[] };
  for (let round = -2; round < rounds; round++) {
    for (const photo of photos) {
      const start = performance.now();
      const image = await decodeImage(photo);
      const decoded = performance.now();
      preprocessImage(image, clipPreprocess);
      const done = performance.now();
      await sharp(photo).resize(224, 224, { fit: "cover", kernel: "cubic" }).raw().toBuffer();
      const resized = performance.now();
      if (round < 0) continue; // warming up
      times.ours.push(done - start);
      times.decode.push(decoded - start);
      times.sharp.push(resized - done);
      times.ratio.push((done - start) / (resized - done));
    }
  }
  return {
    ours: summarise(times.ours),
    ofWhichDecoding: summarise(times.decode),
    sharp: summarise(times.sharp),
    ratio: summarise(times.ratio),
  };
}

/** Processor time of this process, so that a busy machine counts as little as may be. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function benchAugment() {
  const require = createRequire(import.meta.url);
  const { icons } = require("@iconify-json/noto/icons.json") as { icons: Record<string, { body: string }> };
  const images = await Promise.all(
    Object.values(icons)
      .slice(0, drawings)
      .map(({ body }) => {
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96" viewBox="0 0 128 128">${body}</svg>`;
        return decodeImage(Buffer.from(svg));
      }),
  );
  const perSecond: number[] = [];
  for (let run = 0; run < 7; run++) {
    const start = processorMs();
    for (let i = 0; i < samples; i++) {
      const pixels = augmentImage(images[i % drawings]!, 64, allOfIt, new Random(run, i));
      normalizePixels(pixels, { ...clipPreprocess, imageSize: 64 });
    }
    perSecond.push((1000 * samples) / (processorMs() - start));
  }
  return summarise(perSecond);
}

const folder = await mkdtemp(join(tmpdir(), "clip-ts-bench-"));
const { source, photos } = await findPhotos(folder);
const report = {
  photos: { source, count: photos.length, rounds },
  milliseconds: await benchPreprocess(photos),
  augmentedSamplesPerSecond: await benchAugment(),
  machine: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
  versions: { node: process.version, sharp: sharp.versions.sharp, vips: sharp.versions.vips },
};
await rm(folder, { recursive: true });

if (process.argv.includes("--json")) console.log(JSON.stringify(report, null, 2));
else {
  const { ours, ofWhichDecoding, sharp: theirs, ratio } = report.milliseconds;
  const line = (name: string, { min, median, max }: ReturnType<typeof summarise>, digits = 2) =>
    console.log(name.padEnd(48), [min, median, max].map((figure) => figure.toFixed(digits).padStart(9)).join(""));
  console.log(`${photos.length} photos of 640 × 480 (${source}), ${rounds} rounds`);
  console.log(`${report.machine}, Node ${process.version}, sharp ${sharp.versions.sharp}\n`);
  console.log("".padEnd(48), ["min", "median", "max"].map((name) => name.padStart(9)).join(""));
  line("file to pixelValues, equal to Pillow (ms)", ours);
  line("  of which reading and decoding (ms)", ofWhichDecoding);
  line("sharp's resize to 224 (ms)", theirs);
  line("ratio of each pair", ratio);
  line("augmented 64-pixel samples/s of processor time", report.augmentedSamplesPerSecond, 0);
}
