import { arch, cpus, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { onnxRuntimeVersion } from "../../engine/runtime/version.ts";
import { packageFile } from "../../core/package-files.ts";
import { fixtureCases } from "./fixture-cases.ts";
import { knownCases, type KnownCasesOptions } from "./known-cases.ts";
import type { Comparison, ParityCase } from "./parity-case.ts";

/** Folder of the bundled recordings. */
export const packageFixtures = fileURLToPath(packageFile("fixtures"));

export interface ParityOptions extends KnownCasesOptions {
  /** Folder of recordings; default the bundled ones. */
  readonly fixtures?: string | undefined;
  /** Folder with images for some recordings; without it these are skipped. */
  readonly data?: string | undefined;
  /** Stops between cases. */
  readonly signal?: AbortSignal | undefined;
  readonly onCase?: ((name: string) => void) | undefined;
}

export interface ParityRow extends Pick<ParityCase, "source" | "model">, Partial<Comparison> {
  readonly case: string;
  readonly result: "ok" | "FAIL" | "skipped";
  /** Reason for a skipped or failed case. */
  readonly reason?: string;
}

/**
 * Compares values computed on this machine with values recorded elsewhere: the bundled recordings, and outputs of published models
 * whose weights are cached. Continues after failures; nothing is fetched.
 *
 * @throws {ClipError} `CLIP_USAGE` if no outputs of the model are known.
 */
export async function* parity(options: ParityOptions = {}): AsyncGenerator<ParityRow> {
  const { fixtures = packageFixtures, data, signal, onCase, ...known } = options;
  for (const parityCase of [...fixtureCases(fixtures), ...(await knownCases(known))]) {
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
    // The comparison is false for NaN.
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

export type Machine = Readonly<ReturnType<typeof thisMachine>>;

export function thisMachine() {
  const cores = cpus();
  return {
    processor: cores[0]?.model.trim() ?? "unknown processor", // some systems hide it
    cores: cores.length,
    system: `${platform()} ${arch()}`,
    node: process.version.slice(1),
    onnxRuntime: onnxRuntimeVersion(),
  };
}
