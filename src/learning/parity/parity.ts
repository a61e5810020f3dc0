import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { packageFile } from "../../core/package-files.ts";
import { fixtureCases } from "./fixture-cases.ts";
import { knownCases, type KnownCasesOptions } from "./known-cases.ts";
import type { Comparison, ParityCase } from "./parity-case.ts";

/** The recordings that come with this package. */
export const packageFixtures = fileURLToPath(packageFile("fixtures"));

/** What is compared. */
export interface ParityOptions extends KnownCasesOptions {
  /** Recordings in the place of those of the package. */
  readonly fixtures?: string | undefined;
  /** The folder with the images that some recordings are of; without it these are skipped. */
  readonly data?: string | undefined;
  /** Stops between cases. */
  readonly signal?: AbortSignal | undefined;
  /** Is told what runs now. */
  readonly onCase?: ((name: string) => void) | undefined;
}

/** What came of a comparison. */
export interface ParityRow {
  readonly case: string;
  /** Who has recorded the numbers. */
  readonly source: string;
  /** The published model whose outputs they are, by a name or path; not given for the recordings of the package. */
  readonly model?: string;
  readonly result: "ok" | "FAIL" | "skipped";
  /** What of, and by which measure. */
  readonly compared?: string;
  /** How far ours are from the recorded numbers. */
  readonly delta?: number;
  readonly tolerance?: number;
  /** Where the delta is largest, if there are several places. */
  readonly worst?: string | undefined;
  /** Why nothing was compared. */
  readonly reason?: string;
}

/**
 * Compares what this machine computes with numbers that were recorded elsewhere: the recordings of the package always; outputs
 * of published models where their weights are in the caches. A case that fails does not stop the others; nothing is fetched.
 *
 * @throws {ClipError} `CLIP_USAGE` if nothing is known of the model named.
 */
export async function* parity(options: ParityOptions = {}): AsyncGenerator<ParityRow> {
  const { fixtures = packageFixtures, data, signal, onCase, ...known } = options;
  const ofModels = await knownCases(known);
  for (const parityCase of [...fixtureCases(fixtures), ...ofModels]) {
    signal?.throwIfAborted();
    onCase?.(parityCase.name);
    yield* await runCase(parityCase, data);
  }
}

async function runCase(parityCase: ParityCase, data: string | undefined): Promise<ParityRow[]> {
  const { name, source, model } = parityCase;
  const about = { case: name, source, ...(model !== undefined && { model }) };
  if ("skipped" in parityCase) return [{ ...about, result: "skipped", reason: parityCase.skipped }];
  try {
    const missing = await missingFile((await parityCase.needs?.()) ?? [], data);
    if (missing !== undefined) return [{ ...about, result: "skipped", reason: missing }];
    const comparisons = await parityCase.compare(data ?? "");
    // What is no number is not within any tolerance.
    const resultOf = ({ delta, tolerance }: Comparison) => (delta <= tolerance ? "ok" : "FAIL");
    return comparisons.map((comparison) => ({ ...about, result: resultOf(comparison), ...comparison }));
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    return [{ ...about, result: "FAIL", reason: error.message }];
  }
}

async function missingFile(files: readonly string[], data: string | undefined): Promise<string | undefined> {
  if (files.length > 0 && data === undefined)
    return "its images are not in this package; give their folder: clip-ts parity FOLDER";
  for (const file of files.map((name) => join(data!, name))) {
    if (!(await exists(file))) return `${file} does not exist; give the folder of the images: clip-ts parity FOLDER`;
  }
  return undefined;
}
