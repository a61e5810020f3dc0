import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import ts from "typescript";

/**
 * Wings, and their rooms, in the order in which data passes through them. A file imports only from its own room, from rooms
 * before it, and from wings before its own.
 */
export const wings: Readonly<Record<string, readonly string[]>> = {
  core: [],
  inputs: ["image", "text", "data"],
  engine: ["threads", "graph", "autodiff", "onnx", "runtime", "optimize", "distributed"],
  model: ["nn", "towers", "checkpoints", "hub", "pretrained", "embedding", "zero-shot"],
  learning: ["evaluate", "parity", "train/batches", "train/step", "train", "finetune"],
  applications: ["vectors", "search/scan", "search"],
  interfaces: ["report", "server", "cli"],
};

/** Every room by its path; a wing without rooms is one itself. */
export const rooms = Object.entries(wings).flatMap(([wing, own]) =>
  own.length === 0 ? [wing] : own.map((room) => `${wing}/${room}`),
);

/** The room of a file: the deepest whose folder holds it. */
export function roomOf(path: string): string | undefined {
  return rooms.filter((room) => path.startsWith(`${room}/`)).sort((a, b) => b.length - a.length)[0];
}

/** One import of a file of ours by another, both as paths from the source folder. */
export interface Import {
  readonly from: string;
  readonly to: string;
  /** True for `import type` and `export type`, of which nothing is left when the code runs. */
  readonly erased: boolean;
}

/** The sources under a folder, tests left out: they may look at everything. */
export function readSources(folder: string): Map<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => path.replaceAll("\\", "/"));
  const sources = paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts")).sort();
  return new Map(sources.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

/** Every relative import: static, re-export, dynamic, and in types. */
export function importsOf(sources: ReadonlyMap<string, string>): Import[] {
  const imports: Import[] = [];
  for (const [from, text] of sources) {
    const add = (specifier: ts.Node | undefined, erased: boolean) => {
      if (specifier && ts.isStringLiteral(specifier) && specifier.text.startsWith("."))
        imports.push({ from, to: posix.join(posix.dirname(from), specifier.text), erased });
    };
    const visit = (node: ts.Node): void => {
      if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
      else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
      else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
        add(node.arguments[0], false);
      else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(from, text, ts.ScriptTarget.Latest));
  }
  return imports;
}

/** Imports against the order, and files outside every room. The entry points beside the wings may name everything. */
export function orderViolations(sources: ReadonlyMap<string, string>): string[] {
  const violations: string[] = [];
  const place = (path: string) => rooms.indexOf(roomOf(path) ?? "");
  for (const path of sources.keys()) {
    if (path.includes("/") && place(path) < 0) violations.push(`${path} is in no room`);
  }
  for (const { from, to } of importsOf(sources)) {
    if (!from.includes("/")) continue;
    if (!to.includes("/")) violations.push(`${from} imports the entry point ${to}`);
    else if (place(to) > place(from)) violations.push(`${from} imports ${to}`);
    else if (to.endsWith(".ts") && !sources.has(to)) violations.push(`${from} imports ${to}, which is no source file`);
  }
  return violations;
}

/**
 * Circles of files that import each other when the code runs: each starts with the file that comes first by name. Erased
 * imports are left out on purpose: the tensor type and the tables over its ops must name each other's types, and that
 * cannot make one file run before another is ready.
 */
export function cycles(sources: ReadonlyMap<string, string>): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to, erased } of importsOf(sources)) {
    if (!erased) targets.set(from, [...(targets.get(from) ?? []), to]);
  }
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      const circle = path.slice(start);
      const first = circle.indexOf([...circle].sort()[0]!);
      found.add([...circle.slice(first), ...circle.slice(0, first)].join(" → "));
    } else if (!done.has(file)) {
      for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    }
  };
  for (const file of sources.keys()) visit(file, []);
  return [...found];
}

/** Names that two files export for different things; a module for pages repeats those of the one that it replaces. */
export function repeatedExports(sources: ReadonlyMap<string, string>): string[] {
  const exported = /^export (?:async |abstract |declare )*(?:function\*?|class|interface|type|const|let) (\w+)/gm;
  const files = new Map<string, Set<string>>();
  for (const [path, text] of sources) {
    const module = path.replace(/\.browser\.ts$/, ".ts");
    for (const [, name] of text.matchAll(exported)) files.set(name!, (files.get(name!) ?? new Set()).add(module));
  }
  return [...files]
    .filter(([, modules]) => modules.size > 1)
    .map(([name, modules]) => `${name}: ${[...modules].join(", ")}`);
}
