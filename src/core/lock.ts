import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cannotWrite } from "./atomic-write.ts";
import { ClipError } from "./errors.ts";

const heartbeatMs = 2_000;
/** A holder on another machine that has not been heard of for so long is gone. */
const staleMs = 15_000;
const pollMs = 100;

/**
 * Does what only one process may do at a time: the lock is a file, which says who holds it and is touched while the work
 * lasts, so that a process that was killed does not lock others out.
 *
 * @throws {ClipError} `CLIP_FILE` if there is no place for the lock.
 */
export async function withLock<Result>(
  path: string,
  work: () => Promise<Result>,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Result> {
  let lock = await tryLock(path);
  while (!lock) {
    await sleep(pollMs, undefined, { signal });
    lock = await tryLock(path);
  }
  await using held = lock;
  void held;
  return await work();
}

/** What only one process holds, until it is disposed of. */
export interface Lock extends AsyncDisposable {
  /** @throws {ClipError} `CLIP_FILE` if the lock was lost: another process may be writing. */
  assertHeld(): Promise<void>;
}

/**
 * A lock as {@link withLock} holds it, until it is disposed of; undefined if another process has it, or had it a moment ago.
 *
 * @throws {ClipError} `CLIP_FILE` if there is no place for the lock.
 */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const holder = `${hostname()} ${process.pid} ${randomUUID()} ${await startOf(process.pid)}`;
  if (!(await acquire(path, holder))) return undefined;
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // the work will say what is wrong with the disk
  }, heartbeatMs);
  // A process that is at its end is not kept by its locks.
  heartbeat.unref();
  return {
    async assertHeld() {
      if ((await holderOf(path)) === holder) return;
      throw new ClipError(
        "CLIP_FILE",
        `the lock ${path} was taken by another process or removed; nothing more is written here`,
      );
    },
    async [Symbol.asyncDispose]() {
      clearInterval(heartbeat);
      if ((await holderOf(path)) === holder) await rm(path, { force: true });
    },
  };
}

async function acquire(path: string, holder: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(holder).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw cannotWrite(path, error, "nothing was changed");
    const stale = await staleHolder(path);
    if (stale !== undefined) await removeStale(path, stale);
    return false;
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}

/** Who holds a lock and is no more; undefined if it is held or went in the meantime. */
async function staleHolder(path: string): Promise<string | undefined> {
  const [holder, found] = await Promise.all([holderOf(path), stat(path).catch(() => undefined)]);
  if (holder === undefined || !found) return undefined;
  const [host, pid, , start] = holder.split(" ");
  if (host !== hostname()) return Date.now() - found.mtimeMs > staleMs ? holder : undefined;
  // In a container that starts anew, the process that was killed may have had this one's number.
  const isOlder = Number(pid) === process.pid && found.mtimeMs < Date.now() - 1000 * process.uptime();
  // Another process may have got the number of one that is gone.
  const now = await startOf(Number(pid));
  const isAnother = now !== "" && /^\d+$/.test(start ?? "") && start !== now;
  // On this machine a process that lives keeps its lock, however long it was stopped or asleep.
  return isOlder || isAnother || !isAlive(Number(pid)) ? holder : undefined;
}

/** When a process of this machine started, in the system's ticks; empty where the system does not say. */
async function startOf(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name, in brackets, may have blanks and brackets of its own; the start is the 22nd field.
  return status.slice(status.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

/** Two may find it stale, and one may hold it anew by the time that the other acts: then it is put back. */
async function removeStale(path: string, holder: string): Promise<void> {
  const grave = `${path}.${randomUUID()}.stale`;
  await rename(path, grave).catch(() => undefined);
  if ((await holderOf(grave)) !== holder) await link(grave, path).catch(() => undefined);
  await rm(grave, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
