import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { type MetricsLine, runFiles } from "../../src/learning/train/run-folder.ts";
import { train } from "../../src/learning/train/train.ts";
import { type TrainConfig } from "../../src/learning/train/config.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";
import { ended, hasMpirun, mpirun, patiently, startJob, unlessThere } from "./mpirun.ts";

// Each process compiles its sources, and they share the cores.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let root: string;
let config: TrainConfig;
let unbroken: string;
beforeAll(async () => {
  if (!hasMpirun) return;
  root = await temporaryFolder();
  const images = await drawShapes(join(root, "images"));
  // In each epoch some process meets one of these; all must put the same in its place.
  for (const i of [4, 11, 19]) await writeFile(join(images, `${i}.png`), "no image");
  config = tinyRun(images, {
    ...{ steps: 12, saveEvery: 3, warmupSteps: 3, validation: images, validateEvery: 6 },
    ...{ emaDecay: 0.9, gradClipNorm: 20, patchDropout: 0.5 },
  });
  unbroken = join(root, "unbroken");
  await train(config, { out: unbroken });
});

const program = (out: string, given: TrainConfig = config) => ["./train-child.ts", out, JSON.stringify(given)] as const;

async function metricsOf(out: string): Promise<MetricsLine[]> {
  const lines = (await readFile(join(out, runFiles.metrics), "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as MetricsLine);
}

/** The same curve but for rounding, the same images left out, and a model beside them. */
async function expectSameRun(out: string): Promise<void> {
  const [met, wanted] = [await metricsOf(out), await metricsOf(unbroken)];
  expect(met.map(({ step }) => step)).toEqual(wanted.map(({ step }) => step));
  for (const [i, line] of met.entries()) {
    const other = wanted[i]!;
    if ("validation" in line || "validation" in other) expect(Object.keys(line)).toEqual(Object.keys(other));
    else for (const key of ["epoch", "learningRate"] as const) expect(line[key]).toBe(other[key]);
  }
  const curve = (lines: readonly MetricsLine[]) => lines.flatMap((line) => ("loss" in line ? [line.loss] : []));
  const [losses, wantedLosses] = [curve(met), curve(wanted)];
  const apart = losses.map((loss, i) => Math.abs(loss / wantedLosses[i]! - 1));
  // Measured: at most 3.1e-7.
  expect(Math.max(...apart)).toBeLessThan(1e-5);
  const [skipped, wantedSkipped] = await Promise.all(
    [out, unbroken].map((folder) => readFile(join(folder, runFiles.skipped), "utf8")),
  );
  expect(skipped).toBe(wantedSkipped);
  expect((await openSafetensors(join(out, runFiles.model, "model.safetensors"))).tensors.size).toBeGreaterThan(10);
}

describe.skipIf(!hasMpirun)(`a training run in several processes${unlessThere}`, () => {
  it("follows the curve of one process, in two", async () => {
    const out = join(root, "in-two");
    const { code, out: printed, err } = await mpirun(2, program(out));
    expect([code, err]).toEqual([0, ""]);
    const said = printed.trimEnd().split("\n");
    // The first alone tells how far it is.
    expect(said.filter((line) => line.startsWith("step "))).toEqual(
      Array.from({ length: 12 }, (_, i) => `step ${i + 1}`),
    );
    expect(said.filter((line) => line.startsWith("{")).sort()).toEqual(
      Array.from({ length: 2 }, (_, rank) => JSON.stringify({ rank, finished: true, communicated: true })),
    );
    await expectSameRun(out);
  });

  it("goes on in four from where one process was", async () => {
    const out = join(root, "in-four");
    const stop = new AbortController();
    await train(config, { out, signal: stop.signal, onProgress: ({ step }) => void (step === 6 && stop.abort()) });
    expect(await mpirun(4, program(out))).toMatchObject({ code: 0, err: "" });
    await expectSameRun(out);
  });

  it("ends with a message when one of them dies, and the last checkpoint is good", async () => {
    const out = join(root, "killed");
    const job = startJob([{ processes: 2, program: program(out) }]);
    let second: number | undefined;
    createInterface(job.stdout!).on("line", (line) => {
      second ??= Number(/^process 1 is (\d+)$/.exec(line)?.[1]) || undefined;
      if (line === "step 5") process.kill(second!, "SIGKILL");
    });
    const { code, err } = await ended(job);
    expect(code).not.toBe(0);
    expect(err).toMatch(/process rank 1 .* exited on signal 9/s);
    const { metadata } = await openSafetensors(join(out, runFiles.checkpoint));
    expect(["3", "6"]).toContain(metadata.get("steps"));
    await train(config, { out, resume: true });
    await expectSameRun(out);
  });

  it("stops with a checkpoint when the job is told to", async () => {
    const out = join(root, "stopped");
    const endless = { ...config, steps: 1_000_000, saveEvery: 1_000_000, validateEvery: 1_000_000 };
    const job = startJob([{ processes: 2, program: program(out, endless) }], patiently);
    const said: string[] = [];
    createInterface(job.stdout!).on("line", (line) => {
      said.push(line);
      if (line === "step 5") job.kill("SIGTERM");
    });
    await ended(job);
    expect(said.filter((line) => line.startsWith("{")).sort()).toEqual([
      '{"rank":0,"finished":false,"communicated":true}',
      '{"rank":1,"finished":false,"communicated":true}',
    ]);
    const { metadata } = await openSafetensors(join(out, runFiles.checkpoint));
    expect(said.filter((line) => line.startsWith("step ")).at(-1)).toBe(`step ${metadata.get("steps")}`);
  });

  it("prints one document and writes one report, of the first process", async () => {
    const [file, out] = [join(root, "run.json"), join(root, "by-command")];
    await writeFile(file, JSON.stringify({ ...config, steps: 2, warmupSteps: 1, validation: undefined }));
    const job = await mpirun(2, ["./cli-child.ts", "train", file, "--out", out, "--json"]);
    expect([job.code, job.err.match(/skipped;/g)]).toEqual([0, ["skipped;"]]);
    const { results } = JSON.parse(job.out) as { results: Record<string, unknown> };
    const { communicationShare, ...printed } = results;
    expect(printed).toMatchObject({ steps: 2, report: join(out, runFiles.report) });
    expect(communicationShare).toBeGreaterThan(0);
    expect(communicationShare).toBeLessThan(1);
  });

  it("refuses a batch that cannot be shared out, and chunks that do not fit into a share", async () => {
    const out = join(root, "refused");
    const three = await mpirun(3, program(out));
    expect(three.code).toBe(1);
    expect(three.err).toMatch(
      /^clip-ts, process \d of 3: batchSize is 8, which 3 processes cannot share equally; make it a multiple of 3/m,
    );
    const halves = await mpirun(2, program(out, { ...config, batchSize: 24, chunkSize: 8 }));
    expect(halves.err).toContain("each of 2 processes has 12 pairs of a batch, and chunkSize is 8; it must divide 12");
  });

  it("refuses processes that Open MPI does not know of, as srun starts them without PMIx", async () => {
    const [script, ...args] = program(join(root, "strangers"));
    const child = spawn(
      process.execPath,
      ["--import", "tsx", fileURLToPath(new URL(script, import.meta.url)), ...args],
      {
        env: { ...process.env, SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "2" },
      },
    );
    const { code, err } = await ended(child);
    expect(code).toBe(1);
    expect(err).toContain("srun started 2 processes, but Open MPI found 1; start them with Open MPI's mpirun");
  });

  it("refuses processes that were given different things", async () => {
    const out = join(root, "different");
    const job = startJob([
      { processes: 1, program: program(out) },
      { processes: 1, program: program(out, { ...config, seed: 1 }) },
    ]);
    const { code, err } = await ended(job);
    expect(code).toBe(1);
    expect(err).toMatch(/process 1 has another configuration or other data than process 0/);
  });

  it("writes down the pairs of all of them when the loss is no number, and says so once", async () => {
    const out = join(root, "no-number");
    const { code, err } = await mpirun(2, program(out, { ...config, learningRate: 1e30, warmupSteps: 0 }));
    expect(code).toBe(1);
    expect(err.match(/^clip-ts, process \d of 2: the (?:loss|gradient norm) is/gm)).toHaveLength(1);
    const { inputs } = JSON.parse(await readFile(join(out, runFiles.failure), "utf8")) as { inputs: unknown[] };
    expect(new Set(inputs.map((pair) => JSON.stringify(pair))).size).toBe(8);
  });
});
