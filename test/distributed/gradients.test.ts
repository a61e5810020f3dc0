import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize } from "node:v8";
import { beforeAll, describe, expect, it } from "vitest";
import { relativeError } from "../../src/learning/parity/compare.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { cases, makeSteps, type Outcome } from "./trainer-steps.ts";
import { hasMpirun, mpirun, unlessThere } from "./mpirun.ts";

const steps = 5;
const jobs = [2, 4] as const;

/** A gradient without what is truly 0 in it: no softmax sees a shift of all its keys. */
function seen(path: string, values: Float32Array): Float32Array {
  if (path === "vision.attentionPool.k.bias") return new Float32Array(1).fill(1);
  const third = values.length / 3;
  return path.endsWith("attn.qkv.bias")
    ? Float32Array.of(...values.subarray(0, third), ...values.subarray(2 * third))
    : values;
}

describe.skipIf(!hasMpirun)(`a batch of 8 in several processes${unlessThere}`, () => {
  const outcomes = new Map<string, Outcome>();
  let unbroken: ReadonlyMap<string, Outcome>;
  beforeAll(async () => {
    const root = await temporaryFolder();
    for (const processes of jobs) {
      const folder = join(root, String(processes));
      await mkdir(folder);
      expect(await mpirun(processes, ["./trainer-child.ts", folder, String(steps)])).toMatchObject({ code: 0 });
      for (const name of Object.keys(cases))
        outcomes.set(`${processes} ${name}`, deserialize(await readFile(join(folder, name))) as Outcome);
    }
    unbroken = new Map(
      await Promise.all(Object.keys(cases).map(async (name) => [name, await makeSteps(name, steps)] as const)),
    );
  });

  it.each(Object.keys(cases))("has each parameter's gradient of one process to 1e-5: %s", (name) => {
    const wanted = unbroken.get(name)!;
    for (const processes of jobs) {
      const met = outcomes.get(`${processes} ${name}`)!;
      expect([...met.gradients.keys()]).toEqual([...wanted.gradients.keys()]);
      const errors = Array.from(
        met.gradients,
        ([path, values]) => [path, relativeError(seen(path, values), seen(path, wanted.gradients.get(path)!))] as const,
      );
      // Measured: at most 1.6e-6; of a process's own pairs alone 0.6 to 0.84.
      expect(errors.filter(([, error]) => !(error < 1e-5))).toEqual([]);
      expect(Math.abs(met.norms[0]! / wanted.norms[0]! - 1)).toBeLessThan(1e-5);
    }
  });

  it.each(Object.keys(cases))("follows the same curve of AdamW: %s", (name) => {
    const wanted = unbroken.get(name)!;
    for (const processes of jobs) {
      const met = outcomes.get(`${processes} ${name}`)!;
      expect(new Set(wanted.losses).size).toBe(steps);
      const apart = Math.max(...met.losses.map((loss, i) => Math.abs(loss / wanted.losses[i]! - 1)));
      // Measured: at most 1.4e-6.
      expect(apart).toBeLessThan(1e-5);
    }
  });
});
