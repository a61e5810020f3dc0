import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
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
const isMarkdown = (name: string) => name.endsWith(".md");
const pages = [...readdirSync(root), ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter(
  isMarkdown,
);

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

/** The commands of a page: lines of its shell blocks, one for each part of a chain, without comments. */
function commands(page: string): string[] {
  const lines = codeBlocks(page, "sh").flatMap((block) => block.split("\n"));
  return lines.flatMap((line) => line.replace(/ #.*/, "").split("&&")).flatMap((part) => part.trim() || []);
}

it("docs/configuration.md says what the schema says; if not, run scripts/make-config-docs.ts", async () => {
  expect(read("docs/configuration.md")).toBe(await configReference());
});

describe.each(pages)("%s", (page) => {
  it("links to files that are there", () => {
    const links = Array.from(read(page).matchAll(/\]\(([^)\s]+)\)/g), ([, target]) => target!.split("#")[0]!);
    const local = links.filter((target) => target !== "" && !/^https?:/.test(target));
    expect(local.filter((target) => !existsSync(join(root, dirname(page), target)))).toEqual([]);
  });

  it("names files that are there", () => {
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
      const sectionOf = (name: string) => sections.find((text) => text.startsWith(`clip-ts ${name}\n`));
      // Of a command of a command too: clip-ts models inspect.
      const section = sectionOf(`${name} ${rest[0]}`) ?? sectionOf(name);
      expect(section, command).toBeDefined();
      for (const [option] of command.matchAll(/--[a-z-]+/g)) expect(section, command).toContain(`  ${option}`);
    }
  });
});

describe("the README", () => {
  it("says in fifty words what this is", () => {
    const [, , about] = read("README.md").split("\n\n");
    expect(about!.split(/\s+/)).toHaveLength(50);
  });

  it("shows a configuration that `clip-ts train` takes", () => {
    const [config, ...others] = codeBlocks("README.md", "json");
    expect(others).toEqual([]);
    expect(parseStrict(trainConfigSchema, JSON.parse(config!), "README.md")).toMatchObject({ tokenizer: "captions" });
  });

  it("shows commands on a fresh clone that only need the lock file", () => {
    expect(commands("README.md").slice(0, 4)).toEqual(["npm ci", "npm start", "npm ci", "npm test"]);
  });
});

describe("docs/training.md", () => {
  it("shows configurations that `clip-ts train` takes", () => {
    const configs = codeBlocks("docs/training.md", "json");
    expect(configs).toHaveLength(3);
    for (const config of configs) parseStrict(trainConfigSchema, JSON.parse(config), "docs/training.md");
  });
});

describe("the programs of the README", async () => {
  const programs = codeBlocks("README.md", "ts");
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

  it("are thirteen lines long", () => {
    expect(programs.map((program) => program.trimEnd().split("\n").length)).toEqual([13]);
  });

  it("have no type errors, nor have those of docs/linear-probe.md and docs/vectors.md", () => {
    const { config } = ts.readConfigFile(project, (path) => ts.sys.readFile(path)) as { config: unknown };
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
    const found = ts.getPreEmitDiagnostics(ts.createProgram([...files, ofHead, ofVectors], options));
    expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))).toEqual([]);
  });

  const isThere = existsSync(pictogramModel);
  it.skipIf(!isThere)(`run${isThere ? "" : " (skipped: the model in the box is not there)"}`, async () => {
    for (const file of files) {
      const run = promisify(execFile)(process.execPath, [tsx, file], { cwd: folder });
      expect((await run).stdout.split("\n")[0]).toMatch(/^rocket [01]\.\d{3}$/);
    }
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
