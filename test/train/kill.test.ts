import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { train } from "../../src/learning/train/train.ts";
import { type TrainConfig } from "../../src/learning/train/config.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { expectSameOutcome, expectSameToyRun } from "./compare.ts";
import { watchDisk } from "./faulty-disk.ts";
import { describeShapes, drawShapes, tinyRun } from "./tiny-run.ts";
import { toyRun } from "./toy-run.ts";

let root: string;
beforeAll(async () => {
  root = await temporaryFolder();
});

function start(script: string, ...args: string[]): ChildProcess {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return spawn(process.execPath, ["--import", "tsx", path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

/** `CLIP_TS_KILLS=30 npx vitest run test/train/kill.test.ts` is the long proof. */
const kills = Number(process.env["CLIP_TS_KILLS"] ?? 5);

describe("a training run whose process is killed", () => {
  it(`goes on to the same curve and model to the bit, killed ${kills} times at random and stopped by Ctrl-C once`, async () => {
    const images = await describeShapes(await drawShapes(join(root, "images")));
    // A decoder beside the model, and a checkpoint after every step: most of the time is spent in saves.
    const steps = 9 * kills;
    const config: TrainConfig = tinyRun(images, {
      steps,
      saveEvery: 1,
      validation: images,
      validateEvery: 20,
      objective: { kind: "clips", captionLength: 16 },
      emaDecay: 0.9,
    });
    const unbroken = join(root, "unbroken");
    await train(config, { out: unbroken });

    const seed = Date.now() % 1_000_000;
    const random = new Random(seed);
    const out = join(root, "killed");
    const ends: (NodeJS.Signals | number | null)[] = [];
    for (let kill = 0; kill <= kills; kill++) {
      const child = start("./child.ts", out, JSON.stringify(config));
      const ended = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
      const lines = createInterface(child.stdout!);
      // Some steps, and the time of about one more: each time another place.
      for (let wait = 1 + random.integer(6); wait > 0; wait--) await Promise.race([once(lines, "line"), ended]);
      await sleep(random.uniform(0, 50));
      child.kill(kill === 3 ? "SIGINT" : "SIGKILL");
      const [code, by] = await ended;
      ends.push(by ?? code);
    }
    console.log(`seed ${seed}: ended by ${ends.join(", ")}`);
    // Where this process waits for its turn a child may come to its end first.
    expect(ends).toContain("SIGKILL");
    expect(await train(config, { out, resume: true })).toMatchObject({ finished: true, steps });
    await expectSameOutcome(out, unbroken);
  });
});

describe("a process that is killed in a save", () => {
  it("leaves a folder that goes on to the same files, whichever call to the disk was the next", async () => {
    const [unbroken, half] = [join(root, "toy"), join(root, "half")];
    await toyRun(unbroken);
    await toyRun(half, { until: 2 });
    // What a process will do that goes on from here: two steps, and a save.
    const calls: string[] = [];
    const rehearsal = join(root, "rehearsal");
    await cp(half, rehearsal, { recursive: true });
    const stopWatching = watchDisk((call, file) => void calls.push(`${call} ${file}`));
    await toyRun(rehearsal);
    stopWatching();
    const [first, last] = [calls.indexOf("sync metrics.jsonl"), calls.indexOf("close metrics.jsonl")];
    expect(last - first).toBeGreaterThan(10);

    async function killAt(call: number): Promise<void> {
      const folder = join(root, `toy-${call}`);
      await cp(half, folder, { recursive: true });
      expect(await once(start("./toy-child.ts", folder, `${call}`), "exit"), calls[call]).toEqual([null, "SIGKILL"]);
      await toyRun(folder);
      await expectSameToyRun(folder, unbroken);
    }
    for (let call = first; call <= last; call += 2) {
      await Promise.all([call, call + 1].filter((each) => each <= last).map(killAt));
    }
  });
});
