import { execFileSync } from "node:child_process";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { Random } from "../../core/random.ts";
import { listTar, tarBytes } from "./tar.ts";

const root = await temporaryFolder();
let made = 0;

const longName = `${"folder-of-a-long-name/".repeat(8)}ünï.txt`;
/** Of lengths around a block's, and a name that does not fit a header. */
const files: Readonly<Record<string, Buffer>> = Object.fromEntries(
  ["a.txt", "b/empty.txt", "b/one-block.jpg", "b/more.jpg", longName].map((name, i) => [
    name,
    Buffer.from(Array.from({ length: [5, 0, 512, 100_000, 7][i]! }, (_, at) => (at * 31 + i) % 251)),
  ]),
);

/** An archive of the files as the system's tar writes it. */
async function systemTar(...options: string[]): Promise<string> {
  const folder = join(root, String(made++));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  const path = `${folder}.tar`;
  execFileSync("tar", ["-C", folder, ...options, "-cf", path, "."]);
  return path;
}

async function ownTar(contents = files): Promise<string> {
  const path = join(root, `${made++}.tar`);
  async function* each() {
    for (const [name, bytes] of Object.entries(contents)) yield await Promise.resolve({ name, bytes });
  }
  await writeFile(path, tarBytes(each()));
  return path;
}

/** What an archive holds, the contents by the places that the list gives. */
async function contentsOf(path: string): Promise<{ files: Record<string, Buffer>; damage: string | undefined }> {
  const { entries, damage } = await listTar(path);
  const bytes = await readFile(path);
  const found = entries.map(({ name, offset, length }) => [name, bytes.subarray(offset, offset + length)] as const);
  return { files: Object.fromEntries(found), damage };
}

describe("listTar", () => {
  it.each([["--format=gnu"], ["--format=pax"]])("finds each file where the system's tar put it: %s", async (format) => {
    expect(await contentsOf(await systemTar(format))).toEqual({ files, damage: undefined });
  });

  it("finds names that ustar keeps in two parts", async () => {
    const path = join(root, "ustar");
    const name = `${"d".repeat(90)}/${"e".repeat(60)}.txt`;
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), "x");
    execFileSync("tar", ["-C", path, "--format=ustar", "-cf", `${path}.tar`, name]);
    expect((await listTar(`${path}.tar`)).entries.map((entry) => entry.name)).toEqual([name]);
  });

  it("reads of the contents what is asked for", async () => {
    const { entries } = await listTar(await systemTar(), (name, length) =>
      name.endsWith(".txt") && length < 6 ? length : undefined,
    );
    const read = entries.flatMap(({ name, content }) => (content ? [[name, Buffer.from(content)] as const] : []));
    expect(Object.fromEntries(read)).toEqual({ "a.txt": files["a.txt"], "b/empty.txt": files["b/empty.txt"] });
  });

  it("reads a size beyond eight digits of octal, as GNU writes it", async () => {
    const path = await ownTar({ "large.jpg": Buffer.alloc(0) });
    const bytes = await readFile(path);
    bytes.writeUInt8(0x80, 124);
    bytes.writeBigUInt64BE(10_000_000_000n, 128);
    bytes.write("\0\0\0", 125);
    bytes.write("        ", 148);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    await writeFile(path, bytes);
    expect((await listTar(path)).damage).toMatch(/middle of large\.jpg, with 1024 of 10000000000 bytes/);
  });

  it("gives the files before the place where an archive was cut, wherever that is", async () => {
    const whole = await ownTar({ "1.jpg": Buffer.alloc(700, 1), "2.jpg": Buffer.alloc(10, 2) });
    const bytes = await readFile(whole);
    const expected = [
      [0, 0, "it ends at byte 0 without the mark of an end, after 0 files"],
      [300, 0, "it ends at byte 300 without"],
      [1000, 0, "it ends in the middle of 1.jpg, with 488 of 700 bytes"],
      [1536, 1, "it ends at byte 1536 without the mark of an end, after 1 file"],
      [2050, 1, "it ends in the middle of 2.jpg, with 2 of 10 bytes"],
      [2560, 2, "it ends at byte 2560 without"],
    ] as const;
    for (const [length, count, damage] of expected) {
      const path = join(root, `cut-${length}.tar`);
      await writeFile(path, bytes);
      await truncate(path, length);
      const listing = await listTar(path);
      expect(listing.entries).toHaveLength(count);
      expect(listing.damage).toContain(damage);
    }
  });

  it("reads on where cat has joined archives", async () => {
    const path = join(root, "joined.tar");
    const one = await ownTar({ "1.jpg": Buffer.alloc(700, 1) });
    const other = await systemTar("--format=gnu");
    const [first, second] = [await readFile(one), await readFile(other)];
    await writeFile(path, Buffer.concat([first, second]));
    expect(await contentsOf(path)).toEqual({ files: { "1.jpg": Buffer.alloc(700, 1), ...files }, damage: undefined });
    await writeFile(path, Buffer.concat([second, first.subarray(0, 900)]));
    expect(await contentsOf(path)).toMatchObject({
      files,
      damage: expect.stringContaining("it ends in the middle of 1.jpg") as string,
    });
    await writeFile(path, Buffer.concat([first, Buffer.alloc(600, 7)]));
    expect((await listTar(path)).damage).toBe("what follows its end, at byte 2560, is no archive, after 1 file");
  });

  it("stops at a damaged header", async () => {
    const path = await ownTar({ "1.jpg": Buffer.alloc(700), "2.jpg": Buffer.alloc(10), "3.jpg": Buffer.alloc(10) });
    const bytes = await readFile(path);
    bytes[1536 + 3]! ^= 1;
    await writeFile(path, bytes);
    expect(await listTar(path)).toMatchObject({
      entries: [{ name: "1.jpg" }],
      damage: "the header at byte 1536 is damaged, after 1 file",
    });
  });

  it("ends on any bytes at all, with places inside the file", async () => {
    const seed = Date.now() % 1_000_000;
    console.log(`seed ${seed}`);
    const good = await readFile(await systemTar("--format=pax"));
    const path = join(root, "noise.tar");
    for (let round = 0; round < 200; round++) {
      const random = new Random(seed, round);
      const bytes = Buffer.from(good.subarray(0, random.integer(good.length)));
      for (let i = random.integer(20); i > 0; i--) bytes[random.integer(bytes.length)] = random.integer(256);
      await writeFile(path, bytes);
      const { entries } = await listTar(path, (_, length) => length);
      for (const { offset, length, content } of entries) {
        expect(offset + length).toBeLessThanOrEqual(bytes.length);
        expect(content).toHaveLength(length);
      }
    }
  });

  it("lists what is no plain file, passes over litter, and leaves out names that lead out", async () => {
    const folder = join(root, "odd");
    await mkdir(join(folder, "__MACOSX"), { recursive: true });
    const names = ["a.jpg", "._a.jpg", "__MACOSX/b.jpg", ".DS_Store"];
    for (const name of names) await writeFile(join(folder, name), "bytes");
    const script =
      "ln a.jpg hard.jpg; ln -s a.jpg soft.jpg; mkfifo pipe.jpg; truncate -s 1M sparse.jpg; echo x >> sparse.jpg";
    execFileSync("sh", ["-c", script], { cwd: folder });
    const others = ["hard.jpg", "soft.jpg", "pipe.jpg", "sparse.jpg"];
    for (const format of ["--format=gnu", "--format=pax"]) {
      const path = `${folder}${format}.tar`;
      execFileSync("tar", ["-C", folder, format, "--sparse", "-cf", path, ...names, ...others]);
      const { entries, unusable, damage } = await listTar(path);
      expect(entries.map(({ name }) => name)).toEqual(["a.jpg"]);
      expect(unusable.map(({ name, reason }) => `${name}: ${reason.split(";")[0]}`)).toEqual([
        "hard.jpg: it is a link in the archive",
        "soft.jpg: it is a link in the archive",
        "pipe.jpg: it is a pipe, and no file",
        "sparse.jpg: it is a sparse file",
      ]);
      expect(damage).toBeUndefined();
    }
    const { entries, unusable } = await listTar(
      await ownTar({
        "../../etc/x.jpg": Buffer.from("x"),
        "a/../b.jpg": Buffer.from("x"),
        "a/./c..jpg": Buffer.from("x"),
      }),
    );
    expect(entries.map(({ name }) => name)).toEqual(["a/./c..jpg"]);
    expect(unusable.map(({ reason }) => reason)).toEqual(Array(2).fill("its name leads out of the archive"));
  });

  it("keeps a long name whose link's name is long too", async () => {
    const folder = join(root, "long");
    const name = `${"n".repeat(150)}.txt`;
    await mkdir(folder);
    await writeFile(join(folder, name), "x");
    execFileSync("sh", ["-c", `ln -s "$(printf 't%.0s' $(seq 150))" "$(printf 'l%.0s' $(seq 150))"`], { cwd: folder });
    execFileSync("tar", ["-C", folder, "--format=gnu", "-cf", `${folder}.tar`, "."]);
    const { entries, unusable } = await listTar(`${folder}.tar`);
    expect(entries.map((entry) => entry.name)).toEqual([name]);
    expect(unusable.map((entry) => entry.name)).toEqual(["l".repeat(150)]);
  });

  it("says what is not there", async () => {
    await expect(listTar(join(root, "nowhere.tar"))).rejects.toMatchObject({ code: "CLIP_FILE" });
  });
});

describe("tarBytes", () => {
  it("writes what the system's tar unpacks to the same files", async () => {
    const short = Object.fromEntries(Object.entries(files).filter(([name]) => name !== longName));
    const path = await ownTar(short);
    const out = join(root, "unpacked");
    await mkdir(out);
    execFileSync("tar", ["-C", out, "-xf", path]);
    for (const [name, content] of Object.entries(short)) expect(await readFile(join(out, name))).toEqual(content);
    expect(await contentsOf(path)).toEqual({ files: short, damage: undefined });
  });
});
