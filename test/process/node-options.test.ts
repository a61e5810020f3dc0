import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const image = await writeRandomImage(join(root, "image.png"), 1);
const library = new URL("../../dist/index.js", import.meta.url).href;
const [asModule, asScript] = [join(root, "first.mjs"), join(root, "first.cjs")];
await writeFile(asModule, "globalThis.first = (globalThis.first ?? 0) + 1;\n");
await writeFile(asScript, "globalThis.first = (globalThis.first ?? 0) + 1;\n");

const program = `
  import { loadClip } from ${JSON.stringify(library)};
  const clip = await loadClip(${JSON.stringify(model)});
  const [best] = await clip.classify(${JSON.stringify(image)}, ["a cat", "a dog"]);
  console.log(best.label.length > 0, globalThis.first ?? 0);
  await clip[Symbol.asyncDispose]();
`;
const asFile = join(root, "program.mjs");
await writeFile(asFile, program);
const evaluated = ["--input-type=module", "-e", program];

it.each([
  ["-e", evaluated, "", "", 0],
  ["-e, options after each other", ["--input-type", "module", "-e", program], "", "", 0],
  ["the standard input", ["--input-type=module"], "", program, 0],
  ["-e with modules to load first", ["-r", asScript, `--import=${asModule}`, ...evaluated], "", "", 2],
  ["-e with a limit of memory and a condition", ["--max-old-space-size=2000", "-C", "own", ...evaluated], "", "", 0],
  ["a file with modules to load first", ["--import", asModule, "--require", asScript, asFile], "", "", 2],
  ["-e with its kind in NODE_OPTIONS", ["-e", program], `--input-type=module --import ${asModule}`, "", 1],
  ["a file with NODE_OPTIONS", [asFile], `--import ${asModule} --no-warnings --max-old-space-size=2000`, "", 1],
] as const)("a program runs as %s", async (_, args, options, input, first) => {
  const child = spawn(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: options } });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const code = new Promise((resolve) => child.on("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect({ code: await code, out, err }).toEqual({ code: 0, out: `true ${first}\n`, err: "" });
});
