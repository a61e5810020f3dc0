/**
 * One pre-training step of ViT-B/32, or of RN50, with random weights (both towers, loss, backward, clipping, AdamW), in turn with
 * "Debian's PyTorch 1.13" on the same work: `npx tsx bench/train-step.ts [--model RN50] [--batch 8,32] [--rounds 3] [--json]`.
 *
 * Every measurement is a fresh process, so that peak memory is its own. `--checkpoint` adds our step with recomputed
 * blocks, `--partial` those with a locked image tower and with changes of low rank. Without Debian's python3-torch only our side runs, and a line says so.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { RandomTraining, secondsOf } from "./random-training.ts";

interface Measured {
  /** Seconds of each step. */
  readonly steps: readonly number[];
  /** Seconds of encoding the same pairs once, without gradients; of ours. */
  readonly features?: readonly number[];
  readonly peakBytes: number;
  readonly version: string;
}

const install = "apt-get install python3-torch libopenblas0-pthread";
const stepsPerProcess = 6;
/** The first steps touch their memory for the first time. */
const warmup = 2;

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "ViT-B-32" satisfies Model },
    batch: { type: "string", default: "8,32" },
    rounds: { type: "string", default: "3" },
    checkpoint: { type: "boolean", default: false },
    partial: { type: "boolean", default: false },
    train: { type: "string", default: "whole" satisfies Part },
    json: { type: "boolean", default: false },
    child: { type: "string" },
  },
});

if (values.child !== undefined)
  console.log(JSON.stringify(await ownSteps(Number(values.child), values.checkpoint, values.train as Part)));
else await compare();

/** The architectures that the peer has too. */
type Model = "ViT-B-32" | "RN50";

/** What of the model a step of ours trains. */
type Part = "whole" | "lockImage" | "lora";

async function ownSteps(batchSize: number, checkpointBlocks: boolean, part: Part): Promise<Measured> {
  const plain = clipConfigs[`${values.model as Model}-quickgelu`];
  const lora = { lora: part === "lora" ? { rank: 8, alpha: 8 } : undefined };
  const vision = plain.vision.kind === "vit" ? { ...plain.vision, ...lora } : plain.vision;
  const config = { ...plain, vision, text: { ...plain.text, ...lora } };
  await using model = await RandomTraining.create(config, batchSize, {
    checkpointBlocks,
    lockImage: part === "lockImage",
  });
  const steps: number[] = [];
  for (let i = 0; i < stepsPerProcess; i++) steps.push(await secondsOf(() => model.step()));
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))!;
  const features: number[] = [];
  for (let i = 0; i < warmup + 2; i++) {
    const seconds = await secondsOf(() => model.encode());
    if (i >= warmup) features.push(seconds);
  }
  return { steps, features, peakBytes: Number(peak[1]) * 1024, version: process.version };
}

async function compare(): Promise<void> {
  const run = promisify(execFile);
  const measured = async (command: string, args: readonly string[]) =>
    JSON.parse((await run(command, args, { maxBuffer: 2 ** 24 })).stdout) as Measured;
  const own = (batch: number, ...flags: readonly string[]) => {
    const file = fileURLToPath(import.meta.url);
    const child = ["--import", "tsx", file, "--child", String(batch), "--model", values.model];
    return measured(process.execPath, [...child, ...flags]);
  };
  const python = fileURLToPath(new URL("peers/train_step.py", import.meta.url));
  const hasPeer = await run("/usr/bin/python3", ["-c", "import torch"]).then(
    () => true,
    () => false,
  );
  if (!hasPeer) console.error(`Debian's PyTorch 1.13 is missing, so only our side is measured; ${install}`);
  // With the reference BLAS, which python3-torch alone brings, a step takes minutes: no fair peer.
  else if (!(await realpath("/usr/lib/x86_64-linux-gnu/libblas.so.3")).includes("openblas"))
    throw new Error(`Debian's PyTorch 1.13 would run on the reference BLAS; ${install}`);
  const peer = (batch: number) =>
    measured("/usr/bin/python3", [
      ...[python, "--model", values.model, "--batch", String(batch), "--steps", String(stepsPerProcess)],
    ]);

  const results = [];
  for (const batch of values.batch.split(",").map(Number)) {
    const [ours, theirs, recomputed, locked, lora]: Measured[][] = [[], [], [], [], []];
    for (let round = 0; round < Number(values.rounds); round++) {
      ours!.push(await own(batch));
      if (hasPeer) theirs!.push(await peer(batch));
      if (values.checkpoint) recomputed!.push(await own(batch, "--checkpoint"));
      if (values.partial) {
        locked!.push(await own(batch, "--train", "lockImage"));
        lora!.push(await own(batch, "--train", "lora"));
      }
    }
    const sides = {
      ours: summarise(ours!),
      peer: summarise(theirs!),
      recomputed: summarise(recomputed!),
      locked: summarise(locked!),
      lora: summarise(lora!),
    };
    const ratios = ours!.map((mine, i) => median(stepTimes(theirs![i])) / median(stepTimes(mine)));
    results.push({ batch, ...sides, speedup: hasPeer ? median(ratios) : undefined });
  }
  const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
  if (values.json) console.log(JSON.stringify({ machine, results }));
  else {
    console.log(`One training step of ${values.model}; seconds min / median / max, peak memory; ${machine}`);
    for (const { batch, ours, peer: theirs, recomputed, locked, lora, speedup } of results) {
      console.log(`batch ${batch}  clip-ts ${show(ours)}`);
      console.log(`batch ${batch}  clip-ts, the features alone ${ours!.features.toFixed(2)} s`);
      if (theirs) console.log(`batch ${batch}  Debian's PyTorch 1.13 ${show(theirs)}`);
      if (locked) console.log(`batch ${batch}  clip-ts, lockImage ${show(locked)}`);
      if (lora) console.log(`batch ${batch}  clip-ts, lora of rank 8 ${show(lora)}`);
      if (recomputed) console.log(`batch ${batch}  clip-ts, checkpointBlocks ${show(recomputed)}`);
      if (theirs && ours) {
        const memory = ours.peakBytes / theirs.peakBytes;
        console.log(`batch ${batch}  ${speedup!.toFixed(2)} times as fast, ${memory.toFixed(2)} of its memory`);
      }
    }
  }
}

function stepTimes(measured: Measured | undefined): number[] {
  return measured?.steps.slice(warmup) ?? [];
}

function summarise(runs: readonly Measured[]) {
  if (runs.length === 0) return undefined;
  const times = runs.flatMap(stepTimes).sort((a, b) => a - b);
  return {
    min: times[0]!,
    median: median(times),
    max: times.at(-1)!,
    features: median(runs.flatMap(({ features = [] }) => features)),
    peakBytes: Math.max(...runs.map((r) => r.peakBytes)),
  };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

function show(side: ReturnType<typeof summarise>): string {
  if (!side) return "—";
  const times = [side.min, side.median, side.max].map((time) => time.toFixed(2)).join(" / ");
  return `${times} s, ${(side.peakBytes / 2 ** 30).toFixed(2)} GiB`;
}
