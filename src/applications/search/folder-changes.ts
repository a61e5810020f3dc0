import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { watch } from "chokidar";
import { ClipError, problemOf } from "../../core/errors.ts";
import { isLitter } from "../../inputs/data/image-files.ts";

/** A change is reported when nothing more has changed for this time: copying a folder is one change. */
const quietMs = 1000;
const pollMs = 250;

/**
 * Yields true when it watches the folders, and then false whenever files in them have changed. Ends when the signal is aborted.
 *
 * @throws {ClipError} `CLIP_FILE` if the system cannot watch them.
 */
export async function* folderChanges(folders: readonly string[], signal: AbortSignal): AsyncGenerator<boolean> {
  let changed: number | undefined;
  let problem: unknown;
  const watcher = watch([...folders], { ignoreInitial: true, ignored: (path) => isLitter(basename(path)) });
  watcher.on("ready", () => (changed ??= -Infinity));
  watcher.on("all", () => (changed = performance.now()));
  watcher.on("error", (error) => (problem = error));
  try {
    for (;;) {
      await sleep(pollMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      if (problem !== undefined)
        throw new ClipError("CLIP_FILE", `cannot watch ${folders.join(", ")}: ${problemOf(problem)}`, {
          cause: problem,
        });
      if (changed === undefined || performance.now() - changed < quietMs) continue;
      const isFirst = changed === -Infinity;
      changed = undefined;
      yield isFirst;
    }
  } finally {
    await watcher.close();
  }
}
