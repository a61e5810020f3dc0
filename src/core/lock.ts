import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cannotWrite } from "./atomic-write.ts";
import { ClipError } from "./errors.ts";

const heartbeatMs = 2_000;
/** Age of the last heartbeat after which a holder on another machine is considered dead. */
const staleMs = 15_000;
const pollMs = 100;

/**
 * Runs `work` in one process at a time. The lock is a file that records its holder and is touched while the work runs,
 * so that a killed process does not block others.
 *
 * @throws {ClipError} `CLIP_FILE` if the lock file cannot be written.
 */
export async function withLock<Result>(
  path: string,
  work: () => Promise<Result>,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Result> {
  let lock: Lock | undefined;
  while (!(lock = await tryLock(path))) await sleep(pollMs, undefined, { signal });
  await using held = lock;
  void held;
  return await work();
}

/** A lock held until it is disposed. */
export interface Lock extends AsyncDisposable {
  /** @throws {ClipError} `CLIP_FILE` if the lock was lost; another process may be writing. */
  assertHeld(): Promise<void>;
}

/**
 * Takes the lock of {@link withLock}; undefined if another process holds it, or held it a moment ago.
 *
 * @throws {ClipError} `CLIP_FILE` if the lock file cannot be written.
 */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const holder = `${hostname()} ${process.pid} ${randomUUID()} ${await startOf(process.pid)}`;
  if (!(await acquire(path, holder))) return undefined;
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // the work itself will report a failing disk
  }, heartbeatMs);
  heartbeat.unref();
  return {
    async assertHeld() {
      if ((await holderOf(path)) === holder) return;
      const problem = `the lock ${path} was taken by another process or removed`;
      throw new ClipError("CLIP_FILE", `${problem}; this process writes nothing more`);
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

/** The dead holder of a lock; undefined if the holder lives or the lock is gone. */
async function staleHolder(path: string): Promise<string | undefined> {
  const [holder, found] = await Promise.all([holderOf(path), stat(path).catch(() => undefined)]);
  if (holder === undefined || !found) return undefined;
  const [host, pid, , start] = holder.split(" ");
  if (host !== hostname()) return Date.now() - found.mtimeMs > staleMs ? holder : undefined;
  // In a restarted container, the killed process may have had this process's id.
  const isOlder = Number(pid) === process.pid && found.mtimeMs < Date.now() - 1000 * process.uptime();
  // Process ids are reused.
  const now = await startOf(Number(pid));
  const isAnother = now !== "" && /^\d+$/.test(start ?? "") && start !== now;
  // A living process on this machine keeps its lock, however long it was suspended.
  return isOlder || isAnother || !isAlive(Number(pid)) ? holder : undefined;
}

/** Start time of a process on this machine, in clock ticks; empty if the system has no /proc. */
async function startOf(pid: number): Promise<string> {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // Field 22 is the start. Field 2, the name in brackets, may itself contain spaces and brackets.
  return status.slice(status.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

/** Removes a stale lock. If another process has removed and retaken it meanwhile, its new lock is put back. */
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
