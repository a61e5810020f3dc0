import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { start } from "../cli/spawn.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { endlessCommands } from "./endless-commands.ts";

const root = await temporaryFolder();
/** Windows has no signals. */
const isPosix = platform() !== "win32";
const { commands, env, input } = isPosix
  ? await endlessCommands(root)
  : { commands: () => ({}) as Record<string, string[]>, env: {}, input: "" };

/** A drawing that is blurred many times over: its own limit of time may end it before the signal. */
const layers = Array.from(
  { length: 400 },
  (_, i) => `<g filter="url(#b)"><rect x="${i % 7}" width="3900" height="3900"/></g>`,
);
const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="4000" height="4000"><filter id="b"><feGaussianBlur stdDeviation="90"/></filter>${layers.join("")}</svg>`;
await writeFile(join(root, "slow.svg"), drawing);

/** Much more than the two seconds that a person waits, and much less than the commands would take: machines may be busy. */
const patienceMs = 20_000;

async function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number> {
  const begin = performance.now();
  child.kill(signal);
  const hasEnded = child.exitCode !== null || child.signalCode !== null;
  if (!hasEnded) await Promise.race([once(child, "close"), sleep(patienceMs)]);
  const ms = performance.now() - begin;
  child.kill("SIGKILL");
  return ms;
}

const signals = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const;

describe.skipIf(!isPosix)("a signal", () => {
  it.each(Object.keys(commands("")))("ends %s", async (what) => {
    for (const [signal, code] of signals) {
      const child = start(commands(signal)[what]!, { env, stdio: ["pipe", "ignore", "pipe"] });
      child.stdin!.on("error", () => {});
      child.stdin!.write(input);
      if (!what.startsWith("an input")) child.stdin!.end();
      let err = "";
      child.stderr!.on("data", (chunk: Buffer) => (err += chunk.toString()));
      await sleep(2500);
      expect(child.exitCode, `it ended before the signal: ${err}`).toBeNull();
      expect(await stopped(child, signal), err).toBeLessThan(patienceMs);
      // Before it listens, a signal ends it at once; so it does where the work cannot be interrupted.
      expect([code, signal], err).toContain(child.exitCode ?? child.signalCode);
    }
  });

  it("ends the decoding of an image, or its limit has done so", async () => {
    const child = start(["classify", join(root, "slow.svg"), "--labels", "a,b", "--model", join(root, "model")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr!.on("data", (chunk: Buffer) => (err += chunk.toString()));
    await sleep(2500);
    if (child.exitCode === null) {
      expect(await stopped(child, "SIGTERM"), err).toBeLessThan(patienceMs);
      expect([143, "SIGTERM"], err).toContain(child.exitCode ?? child.signalCode);
    } else {
      expect([child.exitCode, err]).toEqual([1, expect.stringContaining("slow.svg")]);
    }
  });

  it.each(signals)(
    "%s leaves the checkpoint of a training run, or says that the last one stays",
    async (signal, code) => {
      const out = join(root, `run ${signal}`);
      const child = start(["train", join(root, "train.json"), "--out", out], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      let err = "";
      child.stderr!.on("data", (chunk: Buffer) => (err += chunk.toString()));
      const metrics = join(out, "metrics.jsonl");
      // Until the first step has ended.
      while (!existsSync(metrics) || statSync(metrics).size === 0) {
        expect(child.exitCode, err).toBeNull();
        await sleep(50);
      }
      await sleep(1000);
      expect(child.exitCode, err).toBeNull();
      expect(await stopped(child, signal)).toBeLessThan(patienceMs);
      expect([code, signal]).toContain(child.exitCode ?? child.signalCode);
      expect(err).toContain("after one second without it, the last checkpoint stays");
      const files = await readdir(out);
      if (child.exitCode === code) expect(files).toContain("checkpoint.safetensors");
      expect(files.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    },
  );

  it("ends a command whose results nobody reads", async () => {
    const child = start(["tokenize"], { stdio: ["pipe", "pipe", "ignore"] });
    child.stdin!.on("error", () => {});
    child.stdin!.end("a photo of a cat and a dog\n".repeat(200_000));
    await sleep(6000);
    expect(child.exitCode).toBeNull();
    expect(await stopped(child, "SIGTERM")).toBeLessThan(patienceMs);
  });

  it("that comes again ends the process at once", async () => {
    const child = start(commands("twice")["an inference"]!, { stdio: "ignore" });
    await sleep(2500);
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    await sleep(200);
    expect(await stopped(child, "SIGINT")).toBeLessThan(patienceMs);
    expect([130, 143, "SIGINT", "SIGTERM"]).toContain(child.exitCode ?? child.signalCode);
  });
});
