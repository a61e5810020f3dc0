import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { configReference } from "../scripts/make-config-docs.ts";
import { parseStrict } from "../src/core/parse.ts";
import { pictogramModel } from "../src/index.ts";
import { trainConfigSchema } from "../src/learning/train/config.ts";
import { wings } from "./architecture.ts";
import { emptyProject } from "./package/installed.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const tsx = fileURLToPath(import.meta.resolve("tsx/cli"));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const folders = ["", "docs/", "docs/experiments/"];
const pages = folders.flatMap((folder) =>
  readdirSync(join(root, folder)).flatMap((name) => (name.endsWith(".md") ? folder + name : [])),
);

/** The files that a page links to, as paths from the root. */
function linksOf(page: string): string[] {
  const links = Array.from(read(page).matchAll(/\]\(([^)\s]+)\)/g), ([, target]) => target!.split("#")[0]!);
  const local = links.filter((target) => target !== "" && !/^https?:/.test(target));
  return local.map((target) => posix.join(posix.dirname(page), target));
}

interface PackageJson {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}
const packageJson = JSON.parse(read("package.json")) as PackageJson;

/** The contents of a page's code blocks in a language. */
function codeBlocks(page: string, language: string): string[] {
  return Array.from(read(page).matchAll(/^```(\w+)\n(.*?)^```$/gms))
    .filter(([, of]) => of === language)
    .map(([, , code]) => code!);
}

/** The commands of a page: lines of its shell blocks, one for each part of a chain, without comments; then `clip-ts …` in its text. */
function commands(page: string): string[] {
  const lines = codeBlocks(page, "sh").flatMap((block) => block.split("\n"));
  const inline = Array.from(read(page).matchAll(/`(clip-ts [^`\n]+)`/g), ([, command]) => command!);
  return [...lines, ...inline]
    .flatMap((line) => line.replace(/ #.*/, "").split("&&"))
    .flatMap((part) => part.trim() || []);
}

it("docs/configuration.md says what the schema says; if not, run scripts/make-config-docs.ts", async () => {
  expect(read("docs/configuration.md")).toBe(await configReference());
});

describe.each(pages)("%s", (page) => {
  it("links to files that exist", () => {
    expect(linksOf(page).filter((target) => !existsSync(join(root, target)))).toEqual([]);
  });

  it("mentions files that exist", () => {
    const path =
      /(?<![\w./-])(?:src|test|bench|scripts|examples|docs)\/[\w.-]+(?:\/[\w.-]+)*\.(?:ts|md|wat|py|json)\b/g;
    const named = Array.from(read(page).matchAll(path), ([found]) => found);
    expect(named.filter((found) => !existsSync(join(root, found)))).toEqual([]);
  });

  it("knows neither this machine's folders nor a registry", () => {
    expect(read(page)).not.toMatch(
      /(?<![\w.])\/(?:home|root|tmp|work|usr|mnt|Users)\/|registry\.|npmjs\.|artifactory/i,
    );
  });

  it("shows commands that exist, with options that they have", () => {
    const reference = read("docs/cli.md");
    for (const command of commands(page)) {
      const [program, name = "", ...rest] = command.split(/\s+/);
      const script = program === "npm" && (name === "run" ? rest[0]! : /^(?:test|start)$/.test(name) && name);
      if (script) expect(Object.keys(packageJson.scripts), command).toContain(script);
      if (program !== "clip-ts") continue;
      const sections = reference.split(/^## /m);
      const sectionOf = (...words: string[]) =>
        sections.find((text) => text.startsWith(`clip-ts ${words.join(" ")}\n`));
      // A command of a group (clip-ts models cache list), or a group by itself.
      const section =
        sectionOf(name, ...rest.slice(0, 2)) ??
        sectionOf(name, ...rest.slice(0, 1)) ??
        sectionOf(name) ??
        sections.find((text) => text.startsWith(`${[program, name, ...rest].join(" ")} `));
      expect(section, command).toBeDefined();
      for (const [option] of command.matchAll(/--[a-z-]+/g)) expect(section, command).toContain(`  ${option}`);
    }
  });
});

describe("the README", () => {
  it("leads to every page", () => {
    const found = new Set(["README.md"]);
    for (const page of found) for (const target of linksOf(page)) if (target.endsWith(".md")) found.add(target);
    expect([...found].sort()).toEqual([...pages].sort());
  });

  it("describes the project in fifty words", () => {
    const [, , about] = read("README.md").split("\n\n");
    expect(about!.split(/\s+/)).toHaveLength(50);
  });

  it("shows commands on a fresh clone that only need the lock file", () => {
    expect(commands("README.md").slice(0, 4)).toEqual(["npm ci", "npm start", "npm ci", "npm test"]);
  });
});

it.each([
  ["docs/getting-started.md", 1],
  ["docs/training.md", 3],
])("%s shows configurations that `clip-ts train` takes", (page, count) => {
  const configs = codeBlocks(page, "json");
  expect(configs).toHaveLength(count);
  for (const config of configs) parseStrict(trainConfigSchema, JSON.parse(config), page);
});

describe("the programs of the README and of getting started", async () => {
  const programs = ["README.md", "docs/getting-started.md"].flatMap((page) => codeBlocks(page, "ts"));
  const folder = await emptyProject();
  const files = programs.map((_, i) => join(folder, `${i}.ts`));
  await Promise.all(files.map((file, i) => writeFile(file, programs[i]!)));
  // Needs a head of one's own, and is not run.
  const ofHead = join(folder, "head.ts");
  await writeFile(ofHead, codeBlocks("docs/linear-probe.md", "ts")[0]!);

  const ofVectors = join(folder, "vectors.ts");
  await writeFile(ofVectors, codeBlocks("docs/vectors.md", "ts")[0]!);

  const compilerOptions = { typeRoots: [join(root, "node_modules/@types")] };
  const project = join(folder, "tsconfig.json");
  await writeFile(
    project,
    JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions, include: ["*.ts"] }),
  );
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');

  it("are short", () => {
    expect(programs.map((program) => program.trimEnd().split("\n").length)).toEqual([6, 12]);
  });

  it("have no type errors, nor have those of docs/linear-probe.md and docs/vectors.md", () => {
    const { config } = ts.readConfigFile(project, (path) => ts.sys.readFile(path)) as { config: unknown };
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
    const found = ts.getPreEmitDiagnostics(ts.createProgram([...files, ofHead, ofVectors], options));
    expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))).toEqual([]);
  });

  const isThere = existsSync(pictogramModel);
  it.skipIf(!isThere)(`run${isThere ? "" : " (skipped: the bundled model is missing)"}`, async () => {
    const run = (file: string) => promisify(execFile)(process.execPath, [tsx, file], { cwd: folder });
    const outputs = await Promise.all(files.map(run));
    expect(outputs.map(({ stdout }) => stdout.split("\n")[0]!.replace(/\d/g, "0"))).toEqual([
      "a vehicle 0.000",
      "rocket 0.000",
    ]);
  });
});

describe("ARCHITECTURE.md", () => {
  const text = read("ARCHITECTURE.md").split("## Pages")[0]!;
  const listed = (mark: RegExp) => Array.from(text.matchAll(mark), ([, name]) => name);

  it("describes the wings and their rooms in the order that is held, and no others", () => {
    expect(listed(/^\*\*`([a-z]+)`\*\*/gm)).toEqual(Object.keys(wings));
    expect(listed(/^- `([a-z-]+)`: /gm)).toEqual(
      Object.values(wings)
        .flat()
        .filter((room) => !room.includes("/")),
    );
  });
});

describe("docs/decisions.md", () => {
  it("gives a reason for each dependency, and for none that is gone", () => {
    const explained = Array.from(read("docs/decisions.md").matchAll(/^\*\*.*?(?=\(|\. )/gm), ([heading]) => heading);
    const names = explained.flatMap((heading) =>
      Array.from(heading.matchAll(/\*\*([@a-z0-9./-]+)\*\*/g), ([, name]) => name!),
    );
    const { dependencies, devDependencies, optionalDependencies } = packageJson;
    const all = [dependencies, devDependencies, optionalDependencies].flatMap(Object.keys);
    expect(names.sort()).toEqual(all.sort());
  });
});
