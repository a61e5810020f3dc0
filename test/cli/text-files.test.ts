import { execFileSync, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { processIo } from "../../src/interfaces/cli/io.ts";
import { readLines } from "../../src/interfaces/cli/text-files.ts";
import { writeRandomImage } from "../images.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
let image: string;
beforeAll(async () => {
  image = await writeRandomImage(join(root, "a.png"), 1);
});
const io = processIo(new AbortController().signal);

/** Every way in which the command line is given a text file. */
const commands: readonly (readonly [string, (file: string) => string[]])[] = [
  ["classify --labels-file", (file) => ["classify", image, "--labels-file", file]],
  ["eval --labels-file", (file) => ["eval", "zeroshot", join(root, "data.csv"), "--labels-file", file]],
  ["eval --templates-file", (file) => ["eval", "zeroshot", join(root, "data.csv"), "--templates-file", file]],
  ["eval --only", (file) => ["eval", "zeroshot", join(root, "data.csv"), "--only", file]],
  ["embed --texts", (file) => ["embed", file, "--texts", "--out", join(root, "vectors")]],
];

describe.each(commands)("%s", (_, argumentsFor) => {
  beforeAll(() => writeFile(join(root, "data.csv"), "image,label\na.png,rocket\na.png,pizza\n"));

  it.each([
    ["utf16.txt", Buffer.from("\ufeffrocket\npizza {}\n", "utf16le"), "is UTF-16 and not UTF-8"],
    ["unmarked.txt", Buffer.from("rocket\npizza {}\n", "utf16le"), "is UTF-16LE and not UTF-8"],
    ["latin.txt", Buffer.from("rocket\ncafé {}\n", "latin1"), ", line 2 is not UTF-8"],
    ["long.txt", Buffer.from(`rocket\n${"a".repeat(2 ** 20 + 1)}\n`), ", line 2 is longer than 1048576 characters"],
    ["image.txt", Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1"), "is a binary file and not text"],
  ])("refuses %s", async (name, content, message) => {
    const file = join(root, name);
    await writeFile(file, content);
    const { code, out, err } = await call(argumentsFor(file));
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(`${file}${message.startsWith(",") ? "" : " "}${message}`);
  });
});

describe("readLines", () => {
  it("takes a mark, and lines that end in CR", async () => {
    await writeFile(join(root, "mac.txt"), "\ufeffa dog\ra cat\r\r");
    expect(await readLines(join(root, "mac.txt"), io)).toEqual(["a dog", "a cat"]);
  });

  it("takes the standard input by its names", async () => {
    for (const name of ["-", "/dev/stdin"])
      expect(await readLines(name, { ...io, readInput: () => Promise.resolve("x\ny\n") })).toEqual(["x", "y"]);
  });

  it.skipIf(process.platform === "win32")("reads a pipe to its end, however slowly it is written", async () => {
    const pipe = join(root, "written");
    execFileSync("mkfifo", [pipe]);
    const writer = spawn("sh", ["-c", `exec > "$0"; sleep 0.2; echo a dog; sleep 0.2; echo a cat`, pipe]);
    expect(await readLines(pipe, io)).toEqual(["a dog", "a cat"]);
    writer.kill();
  });

  it.skipIf(process.platform === "win32")(
    "gives up a pipe into which nobody writes, and any that it is told to",
    async () => {
      const pipe = join(root, "unwritten");
      execFileSync("mkfifo", [pipe]);
      await expect(readLines(pipe, io)).rejects.toThrow(/unwritten: nothing writes to this pipe/);
      const writer = spawn("sh", ["-c", `exec > "$0"; sleep 600`, pipe]);
      const signal = AbortSignal.timeout(300);
      await expect(readLines(pipe, { ...io, signal })).rejects.toThrow(/timeout|aborted/);
      writer.kill();
    },
  );
});

describe.skipIf(sharedMissing)(`text files that people have${sharedMissing}`, () => {
  it.each([
    ["l16.txt", "l16.txt is UTF-16 and not UTF-8"],
    ["latin1.txt", "latin1.txt, line 1 is not UTF-8"],
    ["c16.txt", "c16.txt is UTF-16 and not UTF-8"],
    ["cl1.txt", "cl1.txt, line 1 is not UTF-8"],
  ])("%s is refused by its encoding", async (name, message) => {
    const file = join(sharedFolder, "cases/utf16-labels", name);
    for (const [, argumentsFor] of commands) {
      const { code, err } = await call(argumentsFor(file));
      expect(code).toBe(1);
      expect(err).toContain(message);
    }
  });
});
