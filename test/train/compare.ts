import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { runFiles } from "../../src/learning/train/run-folder.ts";

/** What the curve and the model of a run are, and all that it goes on from. */
const outcome = [
  runFiles.metrics,
  runFiles.checkpoint,
  runFiles.skipped,
  ...["config.json", "merges.txt", "words.txt", "model.safetensors"].map((name) => join(runFiles.model, name)),
];

/** Two finished runs left the same bytes. */
export async function expectSameOutcome(folder: string, unbroken: string): Promise<void> {
  for (const name of outcome) {
    const [met, wanted] = await Promise.all([readFile(join(folder, name)), readFile(join(unbroken, name))]);
    if (name === runFiles.metrics) expect(met.toString()).toBe(wanted.toString());
    expect(met.equals(wanted), name).toBe(true);
  }
}

/** Two finished toy runs left the same files. */
export async function expectSameToyRun(folder: string, unbroken: string): Promise<void> {
  const names = (await readdir(unbroken)).sort();
  expect((await readdir(folder)).sort()).toEqual(names);
  for (const name of names) {
    const [met, wanted] = await Promise.all([readFile(join(folder, name)), readFile(join(unbroken, name))]);
    expect(met.equals(wanted), name).toBe(true);
  }
}
