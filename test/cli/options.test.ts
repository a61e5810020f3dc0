import { readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { describe, expect, it } from "vitest";
import { runnableCommands } from "../../scripts/make-cli-docs.ts";
import { fullName } from "../../src/interfaces/cli/program.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { call } from "./call.ts";

const commands = await runnableCommands();
const nameOf = (command: CommandUnknownOpts) => fullName(command).replace("clip-ts ", "");
const longNames = (command: CommandUnknownOpts) => command.options.map(({ long }) => long!);

/** Options whose form differs by command, and why. */
const differing: Readonly<Record<string, string>> = {
  "--out": "probe writes one file, the others a folder",
  "--watch": "a training is watched in a page, folders are watched for changes",
};

/** Model options that a command lacks, and why. */
const lacking: Readonly<Record<string, readonly [string, readonly string[]]>> = {
  tokenize: ["reads a vocabulary, runs nothing", ["--lora", "--image-size", "--dtype", "--device"]],
  preprocess: ["reads settings, runs nothing", ["--lora", "--dtype", "--device"]],
  parity: ["unchanged weights on the CPU", ["--offline", "--lora", "--image-size", "--dtype", "--device"]],
  finetune: ["trains a model folder on the CPU", ["--config", "--activation", "--lora", "--dtype", "--device"]],
};

describe("options", () => {
  it("mean the same in every command", () => {
    const forms = new Map<string, Set<string>>();
    for (const { long, flags, description } of commands.flatMap((command) => command.options)) {
      // Defaults may differ; --model may be repeated where models are compared.
      const meaning = description.replace(/ \(default: .*\)$/, "").replace(/; may be repeated$/, "");
      forms.set(long!, (forms.get(long!) ?? new Set()).add(`${flags}: ${meaning}`));
    }
    const several = [...forms].filter(([, meanings]) => meanings.size > 1).map(([long]) => long);
    expect(several.sort()).toEqual(Object.keys(differing));
  });

  it("of the model are all there, in one order, wherever a model is chosen", () => {
    const all = ["--model", "--config", "--activation", "--offline", "--lora", "--image-size", "--dtype", "--device"];
    const choosing = commands.filter((command) => longNames(command).includes("--model"));
    expect(choosing.length).toBeGreaterThan(10);
    for (const command of choosing) {
      const [, missing] = lacking[nameOf(command)] ?? ["", []];
      const has = longNames(command).filter((long) => all.includes(long));
      const wanted = all.filter((long) => !missing.includes(long));
      expect(has, nameOf(command)).toEqual(wanted);
    }
  });

  it("have --json everywhere", () => {
    expect(commands.filter((command) => !longNames(command).includes("--json")).map(nameOf)).toEqual([]);
  });
});

describe("--json", async () => {
  const root = await temporaryFolder();
  const model = await saveTinyModel(join(root, "model"));
  for (const name of ["sun", "sea"]) await mkdir(join(root, "images", name), { recursive: true });
  const image = await writeRandomImage(join(root, "images/sun/a.png"), 1);
  await writeRandomImage(join(root, "images/sea/b.png"), 2);
  const [images, out] = [join(root, "images"), join(root, "out")];
  const template = ["--class-template", "a {}"];
  it.each([
    [model, [image], ["classify", image, "--labels", "sun,sea", "--model", model, "--device", "cpu"]],
    [[model, model], images, ["eval", "zeroshot", images, "--model", model, "--model", model]],
    [model, images, ["embed", images, "--out", out, "--model", model]],
    [null, images, ["data", "check", images, ...template]],
    [null, images, ["data", "pack", images, join(root, "shards"), ...template]],
    [null, ["a sun"], ["tokenize", "a sun"]],
    [model, image, ["preprocess", image, join(root, "pixels"), "--model", model]],
    [model, null, ["convert", model, join(root, "converted"), "--to", "hf"]],
    [model, null, ["models", "inspect", model]],
  ])("prints model %j and data %j, results and skipped, of %j", async (model, data, args) => {
    const { code, out } = await call([...args, "--json"]);
    const document = JSON.parse(out) as { readonly results: unknown };
    expect([code, Object.keys(document)]).toEqual([0, ["model", "data", "results", "skipped"]]);
    expect(document).toMatchObject({ model, data, skipped: [] });
    expect(out).toBe(JSON.stringify(document, null, 2));
  });
});

describe("command lines in README, docs and help", () => {
  const root = new URL("../../", import.meta.url);
  const pages = ["README.md", ...readdirSync(new URL("docs", root)).map((name) => `docs/${name}`)];
  const lines = pages
    .filter((page) => page.endsWith(".md"))
    .flatMap((page) => {
      const blocks = readFileSync(fileURLToPath(new URL(page, root)), "utf8").split(/^```.*$/m);
      const code = blocks.filter((_, i) => i % 2 === 1).flatMap((block) => block.split("\n"));
      return code.map((line) => ({ page, words: wordsOf(line) }));
    })
    .filter(({ words }) => words.length > 0);

  it("are found", () => expect(lines.length).toBeGreaterThan(60));

  it.each(lines.map(({ page, words }) => [page, words.join(" "), words] as const))("%s: %s", (_, __, words) => {
    const command = commands
      .filter((command) => `${words.join(" ")} `.startsWith(`${nameOf(command)} `))
      .sort((a, b) => nameOf(b).length - nameOf(a).length)[0]!;
    expect(command, "a command").toBeDefined();
    const { operands, unknown } = command.parseOptions(words.slice(nameOf(command).split(" ").length));
    expect(unknown).toEqual([]);
    const { registeredArguments } = command;
    expect(operands.length).toBeGreaterThanOrEqual(registeredArguments.filter(({ required }) => required).length);
    if (!registeredArguments.some(({ variadic }) => variadic))
      expect(operands.length).toBeLessThanOrEqual(registeredArguments.length);
  });
});

/** The arguments of a line that calls clip-ts, perhaps after variables, mpirun or srun. */
function wordsOf(line: string): string[] {
  const [, call] =
    /^(?: *\$ |[A-Z_]+=\S+ |(?:mpirun|srun) .*?|cat \S+ \| |)clip-ts ((?!\[options\]|.*…)[a-z].*)$/.exec(line) ?? [];
  const words = call?.replace(/ (#|<|\|) .*$/, "").match(/"[^"]*"|\S+/g) ?? [];
  return words.map((word) => word.replaceAll('"', ""));
}
