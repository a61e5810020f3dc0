import { execFile, execFileSync } from "node:child_process";
import { chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { unprivileged } from "../../test/unprivileged.ts";
import { makeFolder } from "./atomic-write.ts";
import { exists, fileSize } from "./files.ts";

const root = await temporaryFolder();
await chmod(root, 0o755);
await writeFile(join(root, "file"), "12345");

/** True if a test may mount a folder read-only, in its own namespace. */
function canMount(): boolean {
  try {
    execFileSync("unshare", ["-rm", "mount", "--bind", root, root], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(platform() === "win32")("exists", () => {
  it("handles existing files, missing files, and paths below a file", async () => {
    expect(await fileSize(join(root, "file"))).toBe(5);
    expect(await fileSize(join(root, "nothing"))).toBeUndefined();
    expect(await exists(join(root, "file", "below"))).toBe(false);
  });

  it("throws if the system cannot tell", async () => {
    const loop = join(root, "loop");
    await symlink("loop", loop);
    await expect(exists(loop)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `cannot read ${loop}: it is a link that leads back to itself`,
    });
    await expect(exists(join(root, "a".repeat(300)))).rejects.toThrow("its name is too long");
    const closed = join(root, "closed");
    await mkdir(closed);
    await writeFile(join(closed, "file"), "");
    await chmod(closed, 0o600);
    await expect(unprivileged(() => exists(join(closed, "file")))).rejects.toThrow(
      `cannot read ${join(closed, "file")}: permission denied`,
    );
  });
});

describe("makeFolder", () => {
  it("creates the folder and its parents unless they exist, also concurrently", async () => {
    const path = join(root, "a", "b", "c");
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(path, "d"))]);
    await makeFolder(path);
    expect(await readdir(path)).toEqual(["d"]);
    await makeFolder("/");
  });

  it("refuses a path below a file", async () => {
    const path = join(root, "file", "x", "y");
    await expect(makeFolder(path)).rejects.toThrow(
      `cannot make the folder ${path}: a part of its path is a file; choose another place`,
    );
    await expect(makeFolder(join(root, "file"))).rejects.toThrow("a file of that name already exists");
  });
});

const mountable = canMount();
if (!mountable) console.log("skipped: this machine lets no test mount a read-only disk (unshare -rm)");

/** Result of a command whose `out` is on a read-only disk. */
describe.skipIf(!mountable)("a read-only disk", () => {
  const bin = fileURLToPath(new URL("../../bin/clip-ts.js", import.meta.url));
  it.each([
    ["convert", "pictograms", "OUT/model", "--to", "onnx"],
    ["embed", "PAIRS", "--out", "OUT/vectors", "--model", "pictograms"],
    ["classify", "IMAGE", "--labels", "a,b", "--model", "pictograms", "--html", "OUT/page.html"],
    ["train", "RUN", "--out", "OUT/some/run"],
    ["data", "pack", "PAIRS", "OUT/deep/shards"],
    ["models", "fetch", "some/model"],
  ])("is reported: %s", async (...args) => {
    const disk = join(root, "disk");
    await mkdir(disk, { recursive: true });
    const { drawShapes, tinyRun } = await import("../../test/train/tiny-run.ts");
    const pairs = await drawShapes(join(root, "pairs"), 8);
    const run = join(root, "run.json");
    await writeFile(run, JSON.stringify(tinyRun(pairs, { batchSize: 4, steps: 1 })));
    const places: Record<string, string> = { OUT: disk, IMAGE: join(pairs, "0.png"), RUN: run, PAIRS: pairs };
    const given = args.map((arg) => arg.replace(/^(OUT|IMAGE|RUN|PAIRS)/, (name) => places[name]!));
    const inside = 'disk=$1; shift; mount --bind "$disk" "$disk" && mount -o remount,ro,bind "$disk" && exec "$@"';
    // No hub listens there: the cache must be checked before the hub is contacted.
    const env = { ...process.env, HF_HOME: join(disk, "home"), HF_ENDPOINT: "http://127.0.0.1:9" };
    const command = ["-rm", "sh", "-c", inside, "sh", disk, process.execPath, bin, ...given];
    const failed = (await promisify(execFile)("unshare", command, { env }).catch((error: unknown) => error)) as {
      readonly stderr: string;
      readonly code?: number;
    };
    expect(failed.code, failed.stderr).toBe(1);
    expect(failed.stderr).not.toContain("does not exist");
    if (args[0] !== "models") expect(failed.stderr).toContain("its disk is read-only");
  });
});
