import { open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const heartbeatMs = 2_000;
/** A holder that has not been heard of for so long is gone. */
const staleMs = 15_000;
const pollMs = 100;

/**
 * Does what only one process may do at a time: the lock is a file, which says who holds it and is touched while the work
 * lasts, so that a process that was killed does not lock others out.
 */
export async function withLock<Result>(
  path: string,
  work: () => Promise<Result>,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Result> {
  while (!(await acquire(path))) await sleep(pollMs, undefined, { signal });
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // the work will say what is wrong with the disk
  }, heartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    await rm(path, { force: true });
  }
}

async function acquire(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(`${hostname()} ${process.pid}`).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (await isStale(path)) await removeStale(path);
    return false;
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const [holder, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    if (Date.now() - mtimeMs > staleMs) return true;
    const [host, pid] = holder.split(" ");
    return host === hostname() && pid !== undefined && !isAlive(Number(pid));
  } catch {
    return false; // it went in the meantime
  }
}

/** Two may find it stale: renaming succeeds for one of them, and not for the lock of whoever came next. */
async function removeStale(path: string): Promise<void> {
  const grave = `${path}.${process.pid}.stale`;
  await rename(path, grave).catch(() => undefined);
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
