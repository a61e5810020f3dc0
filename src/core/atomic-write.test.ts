import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeFileAtomic } from "./atomic-write.ts";

describe("an atomic write", () => {
  const folder = () => mkdtempSync(join(tmpdir(), "clip-ts-"));

  it("puts all parts into the file, text and bytes, and leaves nothing beside it", async () => {
    const path = join(folder(), "file");
    await writeFileAtomic(path, ["first\n", Uint8Array.of(0, 255), "last"]);
    expect(readFileSync(path)).toEqual(Buffer.concat([Buffer.from("first\n"), Buffer.of(0, 255), Buffer.from("last")]));
    expect(readdirSync(join(path, ".."))).toEqual(["file"]);
  });

  it("that breaks off in the middle leaves the old content, and nothing beside it", async () => {
    const path = join(folder(), "file");
    writeFileSync(path, "old");
    function* parts(): Generator<string> {
      yield "new";
      throw new Error("no more");
    }
    await expect(writeFileAtomic(path, parts())).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `cannot write ${path}: no more; what stood there before is unchanged`,
    });
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(join(path, ".."))).toEqual(["file"]);
  });

  it("shows a reader the old content until the last part is written", async () => {
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

  it("into a folder that is not there says which file and why", () =>
    expect(writeFileAtomic(join(folder(), "no", "file"), ["x"])).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: /cannot write .*no\/file: ENOENT/,
    }));
});
