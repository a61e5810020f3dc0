import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { reportSkipped } from "../../src/interfaces/cli/train-run.ts";
import type { SkippedImage } from "../../src/inputs/data/image-files.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const images = await drawShapes(join(root, "shapes"), 12);

describe("clip-ts train", () => {
  it("says what to type when it is stopped, and where there is nothing to go on from", async () => {
    const file = join(root, "a run.json");
    await writeFile(file, JSON.stringify(tinyRun(images, { steps: 3 })));
    const stop = new AbortController();
    const progress = (line: string) => void (line.startsWith("step 1/") && stop.abort());
    const out = join(root, "run");
    const args = ["train", file, "--out", out];
    const stopped = await call([...args, "--resume"], { signal: stop.signal, progress });
    expect(stopped).toEqual({
      code: 130,
      out: "",
      err:
        `no checkpoint in ${out}: starting from step 0\n` +
        "stopping after this step, with a checkpoint; after one second without it, the last checkpoint stays\n" +
        `stopped after step 1 of 3; continue with: clip-ts train '${file}' --out ${out} --resume`,
    });
    expect(await call([...args, "--resume"])).toMatchObject({ code: 0, err: "" });
  });

  it("says what a cut shard costs", async () => {
    const [shards, file] = [join(root, "shards"), join(root, "cut.json")];
    await call(["data", "pack", images, shards, "--shard-size", "6"]);
    await truncate(join(shards, "000000.tar"), 5000);
    await writeFile(file, JSON.stringify(tinyRun(shards, { batchSize: 4, steps: 2 })));
    const { code, err } = await call(["train", file, "--out", join(root, "cut-run")]);
    expect(code).toBe(0);
    expect(err).toMatch(
      /^.*000000\.tar: the shard is cut or damaged; [1-5] pairs? could be read, what came after is lost: .*pack it again/,
    );
  });
});

describe("skipped images", () => {
  const reported = (...skipped: SkippedImage[]) => {
    const lines: string[] = [];
    reportSkipped(skipped, "; see skipped.jsonl", { err: (line) => lines.push(line) });
    return lines;
  };
  const damaged = (name: string) => ({ image: `pets/${name}.jpg`, reason: `pets/${name}.jpg is damaged` });

  it("are counted by reason", () => {
    expect(reported()).toEqual([]);
    expect(reported(damaged("1"))).toEqual(["1 image skipped; see skipped.jsonl", "  1 × it is damaged"]);
    const text = { image: "pets/3.jpg", reason: "pets/3.txt, line 2 is not UTF-8; save it as UTF-8" };
    expect(reported(damaged("1"), damaged("2"), text)).toEqual([
      "3 images skipped; see skipped.jsonl",
      "  2 × it is damaged",
      "  1 × captions that are not UTF-8",
    ]);
  });

  it("lists ten damaged shards, and counts the rest", () => {
    const shards = Array.from({ length: 11 }, (_, i) => ({ image: `${i}.tar`, reason: "the shard is cut" }));
    expect(reported(...shards).slice(8)).toEqual([
      "8.tar: the shard is cut",
      "9.tar: the shard is cut",
      "and 1 more shard",
    ]);
  });
});
