import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { type Machine, packageFixtures, type ParityRow } from "../../src/learning/parity/parity.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const nowhere = [join(root, "nowhere")];
beforeEach(() => {
  vi.stubEnv("HOME", root);
  vi.stubEnv("HF_HUB_CACHE", join(root, "hub"));
  onTestFinished(() => void vi.unstubAllEnvs());
});

/** The package's recordings, the last level of the bicubic images changed by one. */
async function changedFixtures(): Promise<string> {
  const fixtures = join(root, "fixtures");
  await cp(packageFixtures, fixtures, { recursive: true });
  const images = join(fixtures, "preprocess/expected-bicubic.npy");
  const levels = await readFile(images);
  levels[levels.length - 1]! ^= 1;
  await writeFile(images, levels);
  return fixtures;
}

describe("parity", () => {
  it("prints the machine, what was compared, and why the rest was not", async () => {
    const { code, out, err } = await call(["parity", ...nowhere]);
    expect([code, err]).toEqual([0, ""]);
    const [machine, recordings, images, , head] = out.split("\n");
    expect(machine).toMatch(/^\d+ × .+, \w+ \w+, Node \d+\.\d+\.\d+, ONNX Runtime \d+\.\d+\.\d+$/);
    expect([recordings, images]).toEqual([`recordings: ${packageFixtures}`, `images: ${nowhere[0]}`]);
    expect(head).toMatch(/^case +compared +delta +tolerance +result$/);
    expect(out).toMatch(
      /^small towers, vit +activations and outputs \(14\), relative L2 +\d\.\de-\d+ +1\.0e-5 {2}ok$/m,
    );
    expect(out).toMatch(
      /^skipped, since the weights of RN50 are not in the cache; clip-ts models fetch RN50 fetches them:\n {2}RN50: /m,
    );
    expect(out).toMatch(/^9 ok, 0 failed, 18 skipped$/m);
  });

  it("fails where numbers differ, in the same words as JSON", async () => {
    const args = ["parity", ...nowhere, "--fixtures", await changedFixtures()];
    const printed = await call(args);
    expect([printed.code, printed.err]).toEqual([1, "clip-ts parity: 1 of 9 comparisons failed"]);
    expect(printed.out).toMatch(/^small images +pixels of 13 images, bicubic.* +1 +0 {2}FAIL at tall\.png$/m);
    const json = await call([...args, "--json"]);
    expect([json.code, json.err]).toEqual([1, printed.err]);
    interface Document {
      readonly results: {
        readonly machine: Machine;
        readonly counts: Record<ParityRow["result"], number>;
        readonly rows: readonly ParityRow[];
      };
      readonly skipped: readonly unknown[];
    }
    const { results, skipped } = JSON.parse(json.out) as Document;
    const { machine, counts, rows } = results;
    expect([rows.length, skipped.length]).toEqual([9, 18]);
    expect(machine.node).toBe(process.versions.node);
    expect(counts).toEqual({ ok: 8, FAIL: 1, skipped: 18 });
    expect(rows.filter(({ result }) => result === "FAIL")).toMatchObject([
      { delta: 1, tolerance: 0, worst: "tall.png" },
    ]);
  });

  it("fails where nothing could be compared of the model that was named, and takes no other", async () => {
    const fixtures = ["--fixtures", join(root, "fixtures")];
    const missing = await call(["parity", ...nowhere, "--model", "RN50"]);
    expect([missing.code, missing.err]).toEqual([
      1,
      "clip-ts parity: nothing of RN50 could be compared; skipped cases give the reason",
    ]);
    expect(missing.out).toMatch(/^9 ok, 0 failed, 4 skipped$/m);
    const unknown = await call(["parity", ...nowhere, ...fixtures, "--model", "ViT-L/14"]);
    expect([unknown.code, unknown.out]).toEqual([2, ""]);
    expect(unknown.err).toMatch(/^clip-ts parity: no outputs are known for ViT-L\/14,/);
  });
});
