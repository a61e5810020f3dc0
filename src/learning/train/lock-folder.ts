import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { type Lock, tryLock } from "../../core/lock.ts";
import { runFiles } from "./run-folder.ts";

const patienceMs = 3_000;

/**
 * Keeps other processes from writing the same run. A folder made for the lock is removed with it if nothing else was written.
 *
 * @throws {ClipError} `CLIP_TRAIN` if another process has the lock.
 */
export async function lockFolder(folder: string): Promise<Lock> {
  const isNew = !(await exists(folder));
  await makeFolder(folder);
  const path = join(folder, runFiles.lock);
  // The lock of a process that was just killed takes a moment to become stale.
  for (const start = performance.now(); performance.now() - start < patienceMs; await sleep(100)) {
    const lock = await tryLock(path);
    if (lock) return isNew ? withFolder(lock, folder) : lock;
  }
  throw new ClipError(
    "CLIP_TRAIN",
    `another process writes the run in ${folder}; stop it first, or use another folder (if none does, remove ${path})`,
  );
}

function withFolder(lock: Lock, folder: string): Lock {
  return {
    assertHeld: () => lock.assertHeld(),
    async [Symbol.asyncDispose]() {
      await lock[Symbol.asyncDispose]();
      await rmdir(folder).catch(() => undefined); // it is not empty
    },
  };
}
