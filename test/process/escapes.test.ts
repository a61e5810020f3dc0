import { existsSync, readdirSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { platform } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { spawn } from "node:child_process";
import { runProcess } from "../cli/spawn.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";

/** Colours, a title, a CSI of one character, other directions, a bell, a line that is written over, and one that is forged. */
const hostile = "x\u001b[31m\u001b]0;t\u0007\u009b2J\u202e\u2066\r\nclip-ts classify: all is well";
const forged = /^clip-ts classify: all is well/m;
const steering = /(?![\n\t])[\p{Cc}\u2028-\u202e\u2066-\u2069]/u;

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const image = await writeRandomImage(join(root, "image.png"), 1);
const steered = join(root, `${hostile}.png`);
if (platform() !== "win32") {
  await copyFile(image, steered);
  await mkdir(join(root, "pairs", hostile), { recursive: true });
  await copyFile(image, join(root, "pairs", hostile, `${hostile}.png`));
  await writeFile(join(root, "pairs", hostile, "broken\u001b[31m\nclip-ts classify: all is well.png"), "no image");
}

/** A file of weights with such a name. */
async function weights(path: string, name: string): Promise<string> {
  const header = Buffer.from(JSON.stringify({ [name]: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, header, Buffer.alloc(4)]));
  return path;
}

const own = await weights(join(root, "own.safetensors"), hostile);
const shared = fileURLToPath(new URL("../../../shared/cases/hostile/esc.safetensors", import.meta.url));

/** Every command that reads it. */
const reading = (file: string): readonly (readonly string[])[] => [
  ["models", "inspect", file],
  ["models", "inspect", file, "--json"],
  ["classify", image, "--labels", "a,b", "--model", file],
  ["classify", image, "--labels", "a,b", "--model", file, "--activation", "quickGelu"],
  ["convert", file, join(root, "converted"), "--to", "onnx"],
  ["embed", image, "--out", join(root, "vectors"), "--model", file],
];

describe("names with escape sequences and line ends", () => {
  it.each(reading(own).map((args) => [args.join(" ").replaceAll(root, ""), args] as const))(
    "of tensors steer nothing: %s",
    async (_, args) => {
      const { code, out, err } = await runProcess(args);
      expect([code, out]).toEqual([1, ""]);
      expect(err).not.toMatch(steering);
      expect(err).not.toMatch(forged);
    },
  );

  it.skipIf(!existsSync(shared))("of the tensors of another's file steer nothing", async () => {
    for (const args of reading(shared)) {
      const { code, out, err } = await runProcess(args);
      expect(code).toBe(1);
      expect(out + err).not.toMatch(steering);
      expect(err).not.toMatch(/^red/m);
    }
  });

  it.skipIf(platform() === "win32")("of files and labels steer nothing", async () => {
    const labels = `a cat,${hostile}`;
    for (const args of [
      ["classify", steered, "--labels", labels, "--model", model],
      ["classify", steered, image, "--labels", labels, "--model", model],
      ["classify", join(root, "pairs"), "--labels", labels, "--model", model],
      ["classify", `${steered}.none`, "--labels", labels, "--model", model],
      ["classify", image, "--labels", "a", "--model", `${hostile}/${hostile}`],
      ["classify", image, "--labels", "a", `--${hostile}`],
      ["models", "inspect", steered],
      ["models", "cache", "clear", hostile],
      ["data", "check", join(root, "pairs")],
      ["train", steered, "--out", join(root, "out", hostile)],
      ["eval", "zeroshot", join(root, "pairs"), "--model", model],
      [hostile],
    ]) {
      const { out, err } = await runProcess(args);
      expect(out + err, args[0]).not.toBe("");
      expect(out + err, args.join(" ")).not.toMatch(steering);
      expect(out + err, args.join(" ")).not.toMatch(forged);
    }
  });

  it.skipIf(platform() === "win32")("are what they are in JSON", async () => {
    const args = ["classify", steered, "--labels", "a cat,\u001b[31md\u202e", "--model", model, "--json"];
    const { code, out, err } = await runProcess(args);
    expect([code, steering.exec(out)], err).toEqual([0, null]);
    expect(JSON.parse(out)).toMatchObject({ results: [{ image: steered }] });
  });
});

describe("what no command has foreseen", () => {
  const main = new URL("../../dist/interfaces/cli/main.js", import.meta.url).href;
  const happening = {
    "an error that nobody catches": "setTimeout(() => { throw new Error(name); });",
    "a promise that nobody waits for": "Promise.reject(new Error(name));",
    "a warning": "process.emitWarning(name); setTimeout(() => process.exit(1), 500);",
  };
  it.each(Object.keys(happening) as (keyof typeof happening)[])("is cleaned too: %s", async (what) => {
    const code = `
      import { main } from ${JSON.stringify(main)};
      const name = ${JSON.stringify(hostile)};
      process.argv = [process.argv[0], "clip-ts", "tokenize"];
      main();
      ${happening[what]}
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["pipe", "pipe", "pipe"] });
    const closed = new Promise((resolve) => child.on("close", resolve));
    const err = await text(child.stderr);
    expect(await closed).toBe(1);
    expect(err).toContain(String.raw`x\u001b[31m`);
    expect(err).not.toMatch(steering);
    expect(err).not.toMatch(forged);
  });

  it("leaves no unfinished file", async () => {
    const target = join(root, "unfinished");
    const writer = new URL("../../dist/core/atomic-write.js", import.meta.url).href;
    const code = `
      import { main } from ${JSON.stringify(main)};
      import { writeFileAtomic } from ${JSON.stringify(writer)};
      import { readdirSync } from "node:fs";
      process.argv = [process.argv[0], "clip-ts", "tokenize"];
      main();
      async function* chunks() {
        yield "half";
        console.log(readdirSync(${JSON.stringify(root)}).filter((name) => name.startsWith("unfinished")).length);
        setTimeout(() => { throw new Error("unforeseen"); });
        await new Promise(() => {});
      }
      writeFileAtomic(${JSON.stringify(target)}, chunks());
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["pipe", "pipe", "ignore"] });
    const closed = new Promise((resolve) => child.on("close", resolve));
    expect(await text(child.stdout)).toBe("1\n");
    expect(await closed).toBe(1);
    expect(readdirSync(root).filter((name) => name.startsWith("unfinished"))).toEqual([]);
  });
});
