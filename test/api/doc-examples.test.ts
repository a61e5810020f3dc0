import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const doors = ["index", "graph", "text", "image", "models", "train", "evaluate", "vectors", "search"];

/** The code after each `@example` of the sources, by file and line. */
const examples = new Map(
  readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
    .flatMap((path) => {
      const text = readFileSync(join(root, "src", path), "utf8");
      return Array.from(text.matchAll(/^ *\* @example\n *\* ```ts\n(.*?)^ *\* ```$/gms), ({ 1: code, index }) => [
        `${path}:${text.slice(0, index).split("\n").length}`,
        code!.replace(/^ *\* ?/gm, ""),
      ]);
    }) as [string, string][],
);

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, "tsconfig.json"), (file) => ts.sys.readFile(file)).config,
  ts.sys,
  root,
);

it("the examples of doc comments compile with the exports of the doors alone, and every door has one", () => {
  const names = new Map<string, string>();
  const entries = doors.map((door) => join(root, "src", `${door}.ts`));
  const program = ts.createProgram(entries, options);
  const checker = program.getTypeChecker();
  for (const [i, entry] of entries.entries())
    for (const { name } of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!))
      if (!names.has(name)) names.set(name, doors[i]!);

  const used = new Set<string>();
  const files = new Map<string, string>();
  for (const code of examples.values()) {
    const imported = [...new Set(code.match(/\b[a-zA-Z]\w*\b/g))].filter(
      (name) => names.has(name) && !new RegExp(`(const|using) \\[?{?[^=]*\\b${name}\\b[^=]*=|\\.${name}\\b`).test(code),
    );
    for (const name of imported) used.add(names.get(name)!);
    const imports = imported.map((name) => `import { ${name} } from "./src/${names.get(name)}.ts";\n`);
    files.set(join(root, `doc-example-${files.size}.ts`), `${imports.join("")}export {};\n${code}`);
  }
  const original = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...original,
    fileExists: (path) => files.has(path) || original.fileExists(path),
    readFile: (path) => files.get(path) ?? original.readFile(path),
    getSourceFile: (path, ...rest) =>
      files.has(path)
        ? ts.createSourceFile(path, files.get(path)!, ts.ScriptTarget.ES2023)
        : original.getSourceFile(path, ...rest),
  };
  const checked = ts.createProgram([...files.keys()], { ...options, verbatimModuleSyntax: false }, host);
  const problems = [...files.keys()].flatMap((path, i) => {
    const source = checked.getSourceFile(path)!;
    return [...checked.getSyntacticDiagnostics(source), ...checked.getSemanticDiagnostics(source)].map(
      ({ messageText }) => `${[...examples.keys()][i]}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    );
  });
  expect(problems).toEqual([]);
  expect([...used].sort()).toEqual(doors.toSorted());
}, 300_000);
