import { stat } from "node:fs/promises";

/** Bytes of a file; undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

/** Whether there is such a file or folder. */
export async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}
