import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { platform } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { start } from "../cli/spawn.ts";
import { writeRandomPicture } from "../pictures.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";

const root = await temporaryFolder();
const picture = await writeRandomPicture(join(root, "picture.png"), 1);
const model = await saveTinyModel(join(root, "model"));
/** An inference with it takes minutes: 16,384 patches see each other in each of 12 blocks. */
const vision = { kind: "vit", imageSize: 512, patchSize: 4, width: 64, layers: 12, heads: 4 } as const;
const slow = await saveTinyModel(join(root, "slow"), { config: { ...tinyConfig, vision } });
const pictures = await drawShapes(join(root, "pictures"), 8);

const pipe = join(root, "pipe");
if (platform() !== "win32") execFileSync("mkfifo", [pipe]);

/** A blur that is drawn many times over. */
const layers = Array.from(
  { length: 400 },
  (_, i) => `<g filter="url(#b)"><rect x="${i % 7}" width="3900" height="3900"/></g>`,
);
const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="4000" height="4000"><filter id="b"><feGaussianBlur stdDeviation="90"/></filter>${layers.join("")}</svg>`;
await writeFile(join(root, "slow.svg"), drawing);

/** The vocabulary of a model whose regular expression backtracks for ever, on the main thread. */
const endless = join(root, "endless");
await cp(model, endless, { recursive: true });
await writeFile(
  join(endless, "tokenizer.json"),
  JSON.stringify({
    version: "1.0",
    normalizer: { type: "Replace", pattern: { Regex: "^(a+)+$" }, content: "x" },
    model: { type: "BPE", vocab: { a: 0, b: 1, "<pad>": 2, "<unk>": 3 }, merges: [], unk_token: "<unk>" },
  }),
);

const trainFile = join(root, "train.json");
await writeFile(trainFile, JSON.stringify(tinyRun(pictures, { steps: 1_000_000, batchSize: 4, saveEvery: 1_000_000 })));

const server = createServer(() => {}).listen(0, "127.0.0.1");
server.unref();
await once(server, "listening");
const hub = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** A command that would go on for minutes or for ever. */
const endlessCommands: Readonly<Record<string, readonly string[]>> = {
  "an inference": ["classify", picture, "--labels", "a,b", "--model", slow],
  "vectors of many pictures": ["embed", pictures, "--out", join(root, "vectors"), "--model", slow],
  "the decoding of a picture": ["classify", join(root, "slow.svg"), "--labels", "a,b", "--model", model],
  "a model that is a pipe": ["classify", picture, "--labels", "a,b", "--model", pipe],
  "labels that are a pipe": ["classify", picture, "--labels-file", pipe, "--model", model],
  "a configuration that is a pipe": ["train", "--config", pipe, "--out", join(root, "piped")],
  "a regular expression without end": ["tokenize", "--model", endless],
  "a download that stalls": ["classify", picture, "--labels", "a,b", "--model", "some/model"],
};

/** Much more than the two seconds that a person waits, and much less than the commands would take: machines may be busy. */
const patienceMs = 20_000;

async function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number> {
  // It may have ended already: before it listens, a signal ends it at once.
  if (child.exitCode !== null || child.signalCode !== null) return 0;
  const begin = performance.now();
  child.kill(signal);
  await Promise.race([once(child, "close"), sleep(patienceMs)]);
  const ms = performance.now() - begin;
  child.kill("SIGKILL");
  return ms;
}

describe.skipIf(platform() === "win32")("a signal", () => {
  it.each(Object.keys(endlessCommands))("ends %s", async (what) => {
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const env = { ...process.env, HF_HOME: join(root, "home"), HF_ENDPOINT: hub };
      const child = start(endlessCommands[what]!, { env, stdio: ["pipe", "ignore", "pipe"] });
      child.stdin!.on("error", () => {});
      child.stdin!.end(`${"a".repeat(50)}b\n`);
      let err = "";
      child.stderr!.on("data", (chunk: Buffer) => (err += chunk.toString()));
      await sleep(2500);
      // A guard may refuse the input by then: that ends it too.
      if (child.exitCode !== null) continue;
      expect(await stopped(child, signal), err).toBeLessThan(patienceMs);
      expect([code, signal], err).toContain(child.exitCode ?? child.signalCode);
    }
  });

  it("leaves the checkpoint of a training run, and nothing that is unfinished", async () => {
    const out = join(root, "run");
    const child = start(["train", "--config", trainFile, "--out", out], { stdio: "ignore" });
    while (!existsSync(join(out, "metrics.jsonl"))) await sleep(50);
    await sleep(1000);
    expect(await stopped(child, "SIGINT")).toBeLessThan(patienceMs);
    expect([130, "SIGINT"]).toContain(child.exitCode ?? child.signalCode);
    const files = await readdir(out);
    if (child.exitCode === 130) expect(files).toContain("checkpoint.safetensors");
    expect(files.filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("ends a command whose results nobody reads", async () => {
    const child = start(["tokenize"], { stdio: ["pipe", "pipe", "ignore"] });
    child.stdin!.on("error", () => {});
    child.stdin!.end("a photo of a cat and a dog\n".repeat(200_000));
    await sleep(6000);
    expect(await stopped(child, "SIGTERM")).toBeLessThan(patienceMs);
  });

  it("that comes again ends the process at once", async () => {
    const child = start(["classify", picture, "--labels", "a,b", "--model", pipe], { stdio: "ignore" });
    await sleep(2500);
    child.kill("SIGTERM");
    await sleep(200);
    expect(await stopped(child, "SIGINT")).toBeLessThan(patienceMs);
    expect([130, 143, "SIGINT", "SIGTERM"]).toContain(child.exitCode ?? child.signalCode);
  });
});
