/**
 * Encodes images in one stream and fails if resident memory grows: `npx tsx scripts/flat-memory.ts [--images 10000]`.
 * The first 500 pay for sessions and pools. Garbage comes and goes, so what is compared are medians: over the 1,000 behind these, and
 * over the last 1,000; at most 5 % more.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadClip } from "../src/model/zero-shot/clip.ts";

const { values } = parseArgs({ options: { images: { type: "string", default: "10000" } } });
const count = Number(values.images);
const image = fileURLToPath(new URL("../assets/samples/rocket.png", import.meta.url));

function* images() {
  for (let i = 0; i < count; i++) yield image;
}

await using clip = await loadClip("pictograms");
let encoded = 0;
const resident: number[] = [];
const start = performance.now();
for await (const embed of clip.encodeImages(images())) {
  void embed;
  encoded++;
  resident.push(process.memoryUsage.rss());
}
const [early, late] = [resident.slice(500, 1500), resident.slice(-1000)].map(
  (sizes) => sizes.sort((a, b) => a - b)[sizes.length >> 1]!,
) as [number, number];
const seconds = (performance.now() - start) / 1000;
const growth = late / early - 1;
const megabytes = [early, late].map((bytes) => (bytes / 1e6).toFixed(0));
console.log(
  `${encoded} images in ${seconds.toFixed(0)} s: ${megabytes[0]} MB early, ${megabytes[1]} MB at the end, ` +
    `${(100 * growth).toFixed(1)} % more`,
);
if (growth > 0.05) process.exitCode = 1;
