import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type DiskCall, systemError, watchDisk } from "../../test/train/faulty-disk.ts";
import { removeTemporaries, writeFileAtomic } from "./atomic-write.ts";

const folder = () => mkdtempSync(join(tmpdir(), "clip-ts-"));

describe("an atomic write", () => {
  it("writes all chunks, text and bytes, and leaves no temporary file", async () => {
    const path = join(folder(), "file");
    await writeFileAtomic(path, ["first\n", Uint8Array.of(0, 255), "last"]);
    expect(readFileSync(path)).toEqual(Buffer.concat([Buffer.from("first\n"), Buffer.of(0, 255), Buffer.from("last")]));
    expect(readdirSync(join(path, ".."))).toEqual(["file"]);
  });

  it("that fails in the middle keeps the old content and leaves no temporary file", async () => {
    const path = join(folder(), "file");
    writeFileSync(path, "old");
    function* parts(): Generator<string> {
      yield "new";
      throw new Error("no more");
    }
    await expect(writeFileAtomic(path, parts())).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `cannot write ${path}: no more; any previous content is kept`,
    });
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(join(path, ".."))).toEqual(["file"]);
  });

  it("shows readers the old content until the last chunk is written", async () => {
    const path = join(folder(), "file");
    writeFileSync(path, "old");
    const seen: string[] = [];
    function* parts(): Generator<string> {
      for (const part of ["n", "e", "w"]) {
        seen.push(readFileSync(path, "utf8"));
        yield part;
      }
    }
    await writeFileAtomic(path, parts());
    expect(seen).toEqual(["old", "old", "old"]);
    expect(readFileSync(path, "utf8")).toBe("new");
  });

  it("into a missing folder reports the file and the reason", () =>
    expect(writeFileAtomic(join(folder(), "no", "file"), ["x"])).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: /cannot write .*no\/file: ENOENT/,
    }));
});

describe("an atomic write on a disk that fails", () => {
  /** All disk calls of a write of two chunks, in order. */
  const calls: readonly DiskCall[] = ["open", "append", "append", "sync", "close", "rename", "open", "sync", "close"];
  const everyCall = calls.map((call, n) => [call, n] as const);
  const isNewAfter = (n: number) => n > calls.indexOf("rename");

  let stopWatching: () => void;
  afterEach(() => {
    stopWatching();
    vi.restoreAllMocks();
  });

  function oldFile(): string {
    const path = join(folder(), "file");
    writeFileSync(path, "old");
    return path;
  }
  const write = (path: string) => writeFileAtomic(path, ["brand ", "new"]);
  const besides = (path: string) => readdirSync(join(path, "..")).filter((name) => name !== "file");

  it("syncs the file before the rename, and the folder after it", async () => {
    const met: string[] = [];
    stopWatching = watchDisk((call) => void met.push(call));
    await write(oldFile());
    expect(met).toEqual(calls);
  });

  it("syncs no folder on Windows, which refuses that", async () => {
    vi.spyOn(process, "platform", "get").mockReturnValue("win32");
    const met: string[] = [];
    stopWatching = watchDisk((call, file) => void met.push(`${call} ${file.replace(/\.\d.*/, "")}`));
    await write(oldFile());
    expect(met).toEqual(["open", "append", "append", "sync", "close", "rename"].map((call) => `${call} file`));
  });

  it.each(everyCall)("keeps the old or the new content, reports which, and cleans up: %s (%i)", async (_, n) => {
    const path = oldFile();
    let count = 0;
    stopWatching = watchDisk(() => {
      if (count++ === n) throw systemError("EIO");
    });
    const outcome = isNewAfter(n) ? "the new content is in place, but a power cut may undo it" : "any previous content";
    await expect(write(path)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringContaining(`cannot write ${path}: the disk fails to read or write; ${outcome}`) as string,
      cause: { code: "EIO" },
    });
    expect(readFileSync(path, "utf8")).toBe(isNewAfter(n) ? "brand new" : "old");
    expect(besides(path)).toEqual([]);
  });

  it.each(everyCall)("keeps the old or the new content if the process ends at %s (%i)", async (call, n) => {
    const path = oldFile();
    let count = 0;
    await new Promise<void>((reached) => {
      stopWatching = watchDisk(() => {
        if (count++ < n) return undefined;
        reached();
        return new Promise(() => undefined);
      });
      void write(path);
    });
    expect(readFileSync(path, "utf8")).toBe(isNewAfter(n) ? "brand new" : "old");
    expect(besides(path)).toHaveLength(call === "open" || isNewAfter(n) ? 0 : 1);
    await removeTemporaries(join(path, ".."));
    expect(besides(path)).toEqual([]);
  });

  it("reports a full disk with advice", async () => {
    const path = oldFile();
    stopWatching = watchDisk((call) => {
      if (call === "append") throw systemError("ENOSPC");
    });
    await expect(write(path)).rejects.toThrow(
      `cannot write ${path}: the disk is full: free some space and try again; any previous content is kept`,
    );
  });
});

describe("removing temporaries", () => {
  it("removes leftovers of killed writes and nothing else", async () => {
    const at = folder();
    for (const name of ["file.77-3.tmp", "notes.tmp", "a.7.tmp.txt"]) writeFileSync(join(at, name), "");
    await removeTemporaries(at);
    expect(readdirSync(at).sort()).toEqual(["a.7.tmp.txt", "notes.tmp"]);
  });

  it("treats a missing folder as empty", () => removeTemporaries(join(folder(), "none")));
});
