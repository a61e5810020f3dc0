/**
 * One update of ViT-B/32 by a large batch in little memory: a run with `chunkSize` and `checkpointBlocks`, in a process of its own whose
 * resident memory is read at its end. Fails beyond 5 GB.
 *
 *   npx tsx scripts/large-batch.ts [--pairs 4096] [--chunk 16] [--json]
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import sharp from "sharp";
import { Random } from "../src/core/random.ts";
import { readTrainConfig } from "../src/learning/train/config.ts";
import { train } from "../src/learning/train/train.ts";

const allowed = 5e9;
/** Fewer images than pairs: what a step costs does not depend on what is in them. */
const images = 64;

interface Update {
  readonly loss: number;
  readonly seconds: number;
  /** The most that the process ever held. */
  readonly peakBytes: number;
}

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "4096" },
    chunk: { type: "string", default: "16" },
    json: { type: "boolean", default: false },
    child: { type: "string" },
  },
});
if (values.child) console.log(JSON.stringify(await updateOnce(values.child)));
else await measure(Number(values.pairs), Number(values.chunk));

async function updateOnce(folder: string): Promise<Update> {
  let loss = NaN;
  const config = await readTrainConfig(join(folder, "run.json"));
  const { seconds } = await train(config, { out: join(folder, "run"), onProgress: (met) => void (loss = met.loss) });
  const status = await readFile("/proc/self/status", "utf8");
  return { loss, seconds, peakBytes: 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) };
}

async function measure(pairs: number, chunkSize: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "clip-ts-large-batch-"));
  try {
    await writeData(folder, pairs);
    const run = {
      model: "ViT-B-32-quickgelu",
      train: join(folder, "pairs.csv"),
      ...{ batchSize: pairs, chunkSize, steps: 1, learningRate: 5e-4, checkpointBlocks: true },
    };
    await writeFile(join(folder, "run.json"), JSON.stringify(run));
    const self = ["--import", "tsx", fileURLToPath(import.meta.url), "--child", folder];
    const { stdout } = await promisify(execFile)(process.execPath, self);
    const update = JSON.parse(stdout) as Update;
    if (values.json) console.log(JSON.stringify({ pairs, chunkSize, ...update }));
    else console.log(describe(pairs, chunkSize, update));
    if (update.peakBytes > allowed) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Photos' size and detail, no two captions alike. */
async function writeData(folder: string, pairs: number): Promise<void> {
  const random = new Random(1);
  const [width, height] = [320, 240];
  for (let index = 0; index < images; index++) {
    const pixels = Uint8Array.from({ length: 3 * width * height }, () => random.integer(256));
    const image = sharp(pixels, { raw: { width, height, channels: 3 } }).blur(1 + (index % 4));
    await image.jpeg().toFile(join(folder, `${index}.jpg`));
  }
  const rows = Array.from({ length: pairs }, (_, i) => `${i % images}.jpg,image ${i % images} for the ${i}th time`);
  await writeFile(join(folder, "pairs.csv"), `image,caption\n${rows.join("\n")}\n`);
}

function describe(pairs: number, chunkSize: number, { loss, seconds, peakBytes }: Update): string {
  const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
  return (
    `one update of ViT-B/32 by ${pairs} pairs, ${chunkSize} at a time: ${(seconds / 60).toFixed(1)} minutes, ` +
    `at most ${(peakBytes / 1e9).toFixed(2)} GB resident (allowed ${allowed / 1e9}), loss ${loss.toFixed(3)} ` +
    `(chance ${Math.log(pairs).toFixed(3)}); ${machine}`
  );
}
