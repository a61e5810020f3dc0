import { readFileSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { expectSameToyRun } from "../../../test/train/compare.ts";
import { type DiskCall, systemError, watchDisk } from "../../../test/train/faulty-disk.ts";
import { snapshotOf, stateWith } from "../../../test/train/snapshot.ts";
import { identity, toyRun, toySteps } from "../../../test/train/toy-run.ts";
import { ClipError } from "../../core/errors.ts";
import { type MetricsLine, RunFolder, runFiles } from "./run-folder.ts";

let root: string;
/** An unbroken toy run's folder. */
let unbroken: string;
beforeAll(async () => {
  root = await temporaryFolder();
  unbroken = join(root, "unbroken");
  await toyRun(unbroken);
});
let folders = 0;
const newFolder = () => join(root, `${folders++}`);
const read = (folder: string, file: string) => readFileSync(join(folder, file));

let stopWatching: () => void = () => undefined;
afterEach(() => stopWatching());

/** All calls to the disk that a whole toy run makes. */
async function callsOf(run: () => Promise<unknown>): Promise<string[]> {
  const calls: string[] = [];
  stopWatching = watchDisk((call, file) => void calls.push(`${call} ${file}`));
  await run();
  stopWatching();
  return calls;
}

describe("RunFolder", () => {
  it("starts with the configuration and no state, and keeps one line of metrics a step", async () => {
    const lines = read(unbroken, runFiles.metrics).toString().trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual(
      Array.from({ length: toySteps }, (_, i) => i + 1),
    );
    expect(JSON.parse(read(unbroken, runFiles.config).toString())).toEqual(identity.config);
    expect((await readdir(unbroken)).sort()).toEqual(
      [runFiles.config, runFiles.metrics, runFiles.checkpoint, runFiles.skipped].sort(),
    );
  });

  it("gives back the state as it was saved, to the bit", async () => {
    const folder = newFolder();
    const odd = new Float32Array(Uint32Array.of(0x00000001, 0x80000000, 0x7f7fffff, 0x3f800001).buffer);
    const arrays = {
      "parameter.a.b": odd,
      "first.a.b": odd.map((x) => -x),
      "second.a.b": odd.map((x) => x / 2),
      "average.a.b": odd.map((x) => x * 0.75),
    };
    const state = stateWith(7, new Map(Object.entries(arrays)));
    {
      await using run = await RunFolder.open(folder, identity, { resume: false });
      expect(run.saved).toBeUndefined();
      await run.saveCheckpoint(state);
    }
    await using again = await RunFolder.open(folder, identity, { resume: true });
    const { steps, arrays: read } = await snapshotOf(again.saved!);
    expect([steps, Object.fromEntries(read)]).toEqual([7, arrays]);
  });

  it("writes nothing once its lock is lost", async () => {
    const path = newFolder();
    let isLost = false;
    const lost = new ClipError("CLIP_FILE", "the lock was taken");
    const lock = {
      assertHeld: () => (isLost ? Promise.reject(lost) : Promise.resolve()),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    await using run = await RunFolder.open(path, identity, { resume: false, lock });
    const state = stateWith(7, new Map([["parameter.a.b", Float32Array.of(1)]]));
    await run.saveCheckpoint(state);
    const files = await readdir(path);
    const before = files.map((file) => read(path, file));
    isLost = true;
    await expect(run.writeMetrics({ step: 8, validation: { top1: 0, top5: 0 } } as MetricsLine)).rejects.toBe(lost);
    await expect(run.saveCheckpoint(state)).rejects.toBe(lost);
    await expect(run.writeSkipped([{ image: "a.jpg", reason: "broken" }])).rejects.toBe(lost);
    expect(await readdir(path)).toEqual(files);
    expect(files.map((file) => read(path, file))).toEqual(before);
  });

  it("goes on to the unbroken run's files, wherever the process ends between two calls to the disk", async () => {
    const calls = await callsOf(() => toyRun(newFolder()));
    const kinds = new Set(calls.map((call) => call.replace(/\.\d+-\d+\.tmp$/, ".tmp")));
    // That the disk is watched at all: every kind of call that a save makes is among them.
    expect(kinds).toContain("sync metrics.jsonl");
    expect(kinds).toContain("append checkpoint.safetensors.tmp");
    expect(kinds).toContain("sync checkpoint.safetensors.tmp");
    expect(kinds).toContain("rename checkpoint.safetensors");
    for (let n = 0; n < calls.length; n++) {
      const folder = newFolder();
      let count = 0;
      await new Promise<void>((reached) => {
        stopWatching = watchDisk(() => {
          if (count++ < n) return undefined;
          reached();
          return new Promise(() => undefined);
        });
        void toyRun(folder);
      });
      stopWatching();
      await toyRun(folder);
      await expectSameToyRun(folder, unbroken);
      await rm(folder, { recursive: true });
    }
  });

  it("says so when the disk is full at any call, and goes on to the unbroken run's files when it no longer is", async () => {
    const writing: readonly DiskCall[] = ["open", "append", "sync"];
    const calls = await callsOf(() => toyRun(newFolder()));
    for (const [n, call] of calls.entries()) {
      if (!writing.some((kind) => call.startsWith(`${kind} `))) continue;
      const folder = newFolder();
      let count = 0;
      stopWatching = watchDisk(() => {
        if (count++ === n) throw systemError("ENOSPC");
      });
      const error = await toyRun(folder).then(
        () => undefined,
        (problem: unknown) => problem,
      );
      stopWatching();
      expect(error, call).toMatchObject({
        code: "CLIP_FILE",
        message: expect.stringMatching(/^cannot write .*: the disk is full: free some space and try again; /) as string,
      });
      expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
      await toyRun(folder);
      await expectSameToyRun(folder, unbroken);
      await rm(folder, { recursive: true });
    }
  });

  it("removes what killed processes were writing, in the model's folder too", async () => {
    const folder = newFolder();
    await mkdir(join(folder, runFiles.model), { recursive: true });
    const left = ["checkpoint.safetensors.4711-0.tmp", "model/model.safetensors.4711-0.tmp"];
    for (const name of left) await writeFile(join(folder, name), "half");
    await toyRun(folder);
    expect((await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("lists skipped images once, by path, over all stretches of a run", async () => {
    const folder = newFolder();
    const [a, b, c] = ["a", "b", "c"].map((image) => ({ image, reason: `no ${image}` }));
    await toyRun(folder, { until: 2, skipped: [c!, a!] });
    await toyRun(folder, { skipped: [b!, a!] });
    const lines = read(folder, runFiles.skipped).toString().trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([a, b, c]);
  });

  it("refuses to write over a run, and to go on with another one", async () => {
    const open = (identityOfRun: object, resume: boolean) =>
      RunFolder.open(unbroken, { ...identity, ...identityOfRun }, { resume });
    const before = read(unbroken, runFiles.checkpoint);
    await expect(open({}, false)).rejects.toMatchObject({
      code: "CLIP_TRAIN",
      message: `${unbroken} holds a run already; resume it (--resume) or use another folder`,
    });
    const another = (what: string) => ({
      code: "CLIP_TRAIN",
      message:
        `${unbroken} holds another run: ${what}. Resume with ${join(unbroken, runFiles.config)} and the same pairs; or ` +
        "start a new run in another folder, from this run's model if you like " +
        `("init": "${join(unbroken, runFiles.model)}")`,
    });
    const changed = { learningRate: 0.1, augment: { blur: 1 }, seed: 1 };
    await expect(open({ config: changed }, true)).rejects.toMatchObject(
      another("seed was 0 and is now 1; augment.blur was not set and is now 1"),
    );
    await expect(open({ model: { architecture: { width: 4 } } }, true)).rejects.toMatchObject(
      another("architecture.width was 3 and is now 4"),
    );
    const [first, ...rest] = identity.samples;
    await expect(open({ samples: rest }, true)).rejects.toMatchObject(
      another("there were 2 pairs, validation included, and now there are 1"),
    );
    await expect(open({ samples: [{ ...first!, captions: ["other"] }, ...rest] }, true)).rejects.toMatchObject(
      another("some of the 2 pairs have other images or captions"),
    );
    expect(read(unbroken, runFiles.checkpoint).equals(before)).toBe(true);
  });

  it("goes on with other settings that the curve does not depend on", async () => {
    const config = { ...identity.config, workers: 7, saveEvery: 1 };
    await using folder = await RunFolder.open(unbroken, { ...identity, config }, { resume: true });
    expect(folder.saved?.steps).toBe(toySteps);
  });

  it("refuses a damaged checkpoint, and metrics that are shorter than it counts on, without changing either", async () => {
    const broken = newFolder();
    await cp(unbroken, broken, { recursive: true });
    const resume = () => RunFolder.open(broken, identity, { resume: true });
    const metrics = join(broken, runFiles.metrics);
    const { length } = await readFile(metrics);
    await truncate(metrics, length - 1);
    const counted = `has ${length - 1} bytes, but the checkpoint expects ${length}`;
    await expect(resume()).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringContaining(counted) as string,
    });
    await rm(metrics);
    await expect(resume()).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
    expect(await readdir(broken)).not.toContain(runFiles.metrics);

    const checkpoint = join(broken, runFiles.checkpoint);
    await truncate(checkpoint, 300);
    await expect(resume()).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringContaining(checkpoint) as string,
    });
    expect(await readFile(checkpoint)).toHaveLength(300);
  });

  it("says when its place is taken by a file", async () => {
    const path = newFolder();
    await writeFile(path, "");
    await expect(RunFolder.open(path, identity, { resume: false })).rejects.toMatchObject({ code: "CLIP_FILE" });
  });
});
