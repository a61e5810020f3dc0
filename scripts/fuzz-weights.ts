/**
 * Opens damaged copies of each kind of weight file: each must be read inside its bounds or refused with an error of ours,
 * within a second.
 *
 *   npx tsx scripts/fuzz-weights.ts [--count 20000] [--seed 0]
 */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openWeightFile } from "../src/model/checkpoints/weight-file.ts";
import { ClipError } from "../src/core/errors.ts";
import { convertModel } from "../src/model/pretrained/convert.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { damage } from "../test/damage.ts";

const { values } = parseArgs({
  options: { count: { type: "string", default: "20000" }, seed: { type: "string", default: "0" } },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const fixtures = fileURLToPath(new URL("../fixtures", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "clip-ts-fuzz-"));
await convertModel(await readModel(join(fixtures, "towers/vit")), join(folder, "model"), { to: "onnx" });
const files = [
  "archives/state_dict.pt",
  "archives/legacy.pt",
  "archives/torch-script.pt",
  "archives/training.pt",
  "towers/vit/model.safetensors",
].map((name) => join(fixtures, name));
files.push(join(folder, "model/onnx/model.onnx"));

for (const name of files) {
  const whole = await readFile(name);
  const path = join(folder, `damaged${extname(name)}`);
  let [refused, slowest] = [0, 0];
  for (let i = seed; i < seed + count; i++) {
    await writeFile(path, damage(whole, i));
    const { size } = await stat(path);
    // Of the processor, since a clock counts other programs too.
    const start = process.cpuUsage();
    try {
      const { tensors } = await openWeightFile(path);
      for (const { byteOffset, byteLength } of tensors.values())
        if (byteOffset + byteLength > size) throw new Error(`a tensor ends behind the end of the file`);
    } catch (error) {
      if (!(error instanceof ClipError)) throw new Error(`${name}, seed ${i}`, { cause: error });
      refused++;
    }
    slowest = Math.max(slowest, process.cpuUsage(start).user / 1000);
  }
  if (slowest > 1000) throw new Error(`${name}: one took ${slowest.toFixed(0)} ms`);
  console.log(`${name}: ${count} damaged copies, ${refused} refused, the slowest took ${slowest.toFixed(0)} ms`);
}
const memory = process.resourceUsage().maxRSS / 1024;
console.log(`peak memory ${memory.toFixed(0)} MB`);
await rm(folder, { recursive: true });
