import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { basename } from "node:path";

/** What the disk is asked for. */
export type DiskCall = "open" | "append" | "truncate" | "sync" | "close" | "rename";

/** Called ahead of each: throws for a disk that fails, never settles for a process that ends there. */
export type BeforeCall = (call: DiskCall, file: string) => void | Promise<void>;

/**
 * Puts itself between this process and the disk. When an append does not come to be, the first half of it does: a
 * write may be torn.
 *
 * @returns takes it away again.
 */
export function watchDisk(before: BeforeCall): () => void {
  const { open, rename } = fs;
  const closings = new Set<() => Promise<void>>();
  fs.open = async (path, ...rest) => {
    const name = basename(path as string);
    await before("open", name);
    const file = await open(path, ...rest);
    const close = file.close.bind(file);
    closings.add(close);
    for (const call of ["truncate", "sync", "close"] as const) {
      const original = file[call].bind(file);
      file[call] = async (...args: []) => {
        await before(call, name);
        return original(...args);
      };
    }
    const append = file.appendFile.bind(file);
    file.appendFile = async (content) => {
      const bytes = Buffer.from(content as Uint8Array);
      await append(bytes.subarray(0, bytes.length >> 1));
      await before("append", name);
      await append(bytes.subarray(bytes.length >> 1));
    };
    return file;
  };
  fs.rename = async (from, to) => {
    await before("rename", basename(to as string));
    await rename(from, to);
  };
  syncBuiltinESMExports();
  return () => {
    // What a process leaves open is closed at its end; closing twice is no error.
    for (const close of closings) void close();
    Object.assign(fs, { open, rename });
    syncBuiltinESMExports();
  };
}

/** An error as the system gives it. */
export function systemError(code: "ENOSPC" | "EIO" | "EACCES"): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}
