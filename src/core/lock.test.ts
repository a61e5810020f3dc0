import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname, platform } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { tryLock, withLock } from "./lock.ts";

const root = await temporaryFolder();
const module = new URL("./lock.ts", import.meta.url).href;

/** A process that holds a lock until it is killed. */
async function holder(path: string): Promise<ChildProcess> {
  const code = `
    import { tryLock } from ${JSON.stringify(module)};
    const lock = await tryLock(${JSON.stringify(path)});
    setInterval(() => {}, 1000);
    console.log(lock ? "held" : "refused");
  `;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(String((await once(child.stdout, "data"))[0])).toBe("held\n");
  return child;
}

/** Makes the lock look untouched for an hour. */
async function growOld(path: string): Promise<void> {
  const before = new Date(Date.now() - 3_600_000);
  await utimes(path, before, before);
}

/** Tries twice: the first try may only remove a stale lock. */
const tryTwice = async (path: string) => (await tryLock(path)) ?? (await tryLock(path));

it.skipIf(platform() === "win32")(
  "a process that is stopped keeps its lock, and one that was killed loses it",
  async () => {
    const path = join(root, "stopped.lock");
    const child = await holder(path);
    try {
      child.kill("SIGSTOP");
      await growOld(path);
      for (let attempt = 0; attempt < 3; attempt++) expect(await tryLock(path)).toBeUndefined();
      expect(await readFile(path, "utf8")).toContain(` ${child.pid} `);
      child.kill("SIGCONT");
      // Its heartbeat continues, though late.
      for (let age = Infinity; age > 60_000; await sleep(50)) {
        age = Date.now() - (await stat(path)).mtimeMs;
      }
      expect(await tryLock(path)).toBeUndefined();
    } finally {
      child.kill("SIGKILL");
    }
    await once(child, "exit");
    const lock = await tryTwice(path);
    expect(lock).toBeDefined();
    await lock![Symbol.asyncDispose]();
  },
);

it.skipIf(platform() !== "linux")(
  "a process that got the number of one that is gone does not hold its lock",
  async () => {
    const path = join(root, "reused.lock");
    const child = spawn("sleep", ["600"]);
    try {
      const status = await readFile(`/proc/${child.pid}/stat`, "utf8");
      const start = Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[19]);
      await writeFile(path, `${hostname()} ${child.pid} some-id ${start}`);
      await growOld(path);
      expect(await tryTwice(path)).toBeUndefined();
      await writeFile(path, `${hostname()} ${child.pid} some-id ${start - 1}`);
      const lock = await tryTwice(path);
      expect(lock).toBeDefined();
      await lock![Symbol.asyncDispose]();
    } finally {
      child.kill("SIGKILL");
    }
  },
);

it("takes a lock of another machine after its heartbeat has stopped", async () => {
  const path = join(root, "elsewhere.lock");
  await writeFile(path, "another-machine 1 some-id 1");
  expect(await tryTwice(path)).toBeUndefined();
  await growOld(path);
  const lock = await tryTwice(path);
  expect(lock).toBeDefined();
  await lock![Symbol.asyncDispose]();
});

it("a holder notices a lost lock and leaves the new holder's alone", async () => {
  const path = join(root, "lost.lock");
  const lock = (await tryLock(path))!;
  await lock.assertHeld();
  await writeFile(path, "another-machine 1 some-id 1");
  await expect(lock.assertHeld()).rejects.toMatchObject({ code: "CLIP_FILE" });
  await lock[Symbol.asyncDispose]();
  expect(await readFile(path, "utf8")).toBe("another-machine 1 some-id 1");

  await rm(path);
  const removed = (await tryLock(path))!;
  await rm(path);
  await expect(removed.assertHeld()).rejects.toThrow(`the lock ${path} was taken by another process or removed`);
  await removed[Symbol.asyncDispose]();
});

it("waiting for a lock can be aborted", async () => {
  const path = join(root, "waited.lock");
  await using lock = (await tryLock(path))!;
  const stop = new AbortController();
  const waiting = withLock(path, () => Promise.resolve("had"), { signal: stop.signal });
  stop.abort();
  await expect(waiting).rejects.toThrow(/abort/i);
  await lock.assertHeld();
});
