/**
 * Encodes pictures in one stream and fails if resident memory grows: `npx tsx scripts/flat-memory.ts [--images 10000]`.
 * Measured after the first 500, which pay for sessions and pools, and at the end; at most 5 % more.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadClip } from "../src/zero-shot/index.ts";

const { values } = parseArgs({ options: { images: { type: "string", default: "10000" } } });
const count = Number(values.images);
const picture = fileURLToPath(new URL("../assets/samples/rocket.png", import.meta.url));

function* pictures() {
  for (let i = 0; i < count; i++) yield picture;
}

await using clip = await loadClip();
let [encoded, early] = [0, 0];
const start = performance.now();
for await (const embed of clip.encodeImages(pictures())) {
  void embed;
  if (++encoded === 500) early = process.memoryUsage().rss;
}
const late = process.memoryUsage().rss;
const seconds = (performance.now() - start) / 1000;
const growth = late / early - 1;
const megabytes = [early, late].map((bytes) => (bytes / 1e6).toFixed(0));
console.log(
  `${encoded} pictures in ${seconds.toFixed(0)} s: ${megabytes[0]} MB after 500, ${megabytes[1]} MB at the end, ` +
    `${(100 * growth).toFixed(1)} % more`,
);
if (growth > 0.05) process.exitCode = 1;
