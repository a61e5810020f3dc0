/**
 * Reads damaged copies of every text file that belongs to a model: configurations, indices, vocabularies. Each must be read or
 * refused with an error of ours that names it, within a second and within the memory that is stated.
 *
 *   npx tsx scripts/fuzz-texts.ts [--count 20000] [--seed 0] [--only tokenizer]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hostileFiles, readDamaged } from "../test/hostile-files.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "20000" },
    seed: { type: "string", default: "0" },
    only: { type: "string", default: "" },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
/** Of the process, with all that it had loaded. */
const maxMegabytes = 700;

const root = await mkdtemp(join(tmpdir(), "clip-ts-fuzz-"));
for (const file of await hostileFiles(root)) {
  if (!file.name.includes(values.only)) continue;
  const { refused, slowestMs } = await readDamaged(file, seed, count);
  if (slowestMs > 1000) throw new Error(`${file.name}: one took ${slowestMs.toFixed(0)} ms`);
  console.log(
    `${file.name}: ${count} damaged copies from seed ${seed}, ${refused} refused, the slowest took ${slowestMs.toFixed(0)} ms`,
  );
}
const megabytes = process.resourceUsage().maxRSS / 1024;
console.log(`peak memory ${megabytes.toFixed(0)} MB`);
if (megabytes > maxMegabytes) throw new Error(`more than ${maxMegabytes} MB`);
await rm(root, { recursive: true });
