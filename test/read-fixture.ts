import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The reference data beside the repository; absent on most machines, and tests that need it then skip and say so. */
export const sharedFolder = fileURLToPath(new URL("../../shared/", import.meta.url));

/** For a test's title: empty where the reference data is present, else why the test is skipped. */
export const sharedMissing = existsSync(sharedFolder) ? "" : " (skipped: no folder ../shared beside the repository)";

/** One recorded array. */
export interface RecordedArray {
  readonly shape: readonly number[];
  readonly values: Uint8Array | Int32Array | Float32Array;
}

const arrayTypes = { U8: Uint8Array, I32: Int32Array, F32: Float32Array };

function recorded(dtype: string, shape: readonly number[], bytes: Uint8Array): RecordedArray {
  const type = arrayTypes[dtype as keyof typeof arrayTypes];
  return { shape, values: new type(new Uint8Array(bytes).buffer) };
}

/** Reads the arrays of a safetensors fixture: a trusted file, so nothing is checked. */
export function readSafetensorsFixture(path: string): Map<string, RecordedArray> {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, FixtureEntry>;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => {
          return [name, recorded(dtype, shape, bytes.subarray(start + from, start + to))];
        },
      ),
  );
}

interface FixtureEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}
