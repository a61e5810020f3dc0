import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cycles, orderViolations, readSources, repeatedExports, roomOf, rooms } from "./architecture.ts";

const src = fileURLToPath(new URL("../src", import.meta.url));

describe("the sources", () => {
  const sources = readSources(src);

  it("import only from their own room, from rooms before it, and from wings before their own", () => {
    expect(sources.has("engine/graph/tensor.ts")).toBe(true);
    expect(orderViolations(sources)).toEqual([]);
  });

  it("export no name for two things", () => expect(repeatedExports(sources)).toEqual([]));

  it("hold no circle of files that need each other to run", () => expect(cycles(sources)).toEqual([]));

  it("nor where modules for pages stand in the place of those for Node", () => {
    const inPage = new Map(
      [...sources].map(([path, text]) => [path, sources.get(path.replace(/\.ts$/, ".browser.ts")) ?? text]),
    );
    expect(inPage.get("core/files.ts")).toBe(sources.get("core/files.browser.ts"));
    expect(cycles(inPage)).toEqual([]);
  });
});

describe("the check of the sources", () => {
  const check = (files: Record<string, string>) => {
    const sources = new Map(Object.entries(files));
    return [...orderViolations(sources), ...cycles(sources)];
  };
  const later = { "engine/onnx/a.ts": "export const a = 1;" };

  it.each([
    ["static", 'import { a } from "../engine/onnx/a.ts";'],
    ["spread over lines", 'import {\n  a,\n} from "../engine/onnx/a.ts";'],
    ["type-only", 'import type { a } from "../engine/onnx/a.ts";'],
    ["in a type", 'type A = typeof import("../engine/onnx/a.ts");'],
    ["dynamic", 'const a = await import("../engine/onnx/a.ts");'],
    ["re-exporting", 'export * from "../engine/onnx/a.ts";'],
  ])("sees a forbidden import that is %s", (_, text) => {
    expect(check({ ...later, "core/b.ts": text })).toEqual(["core/b.ts imports engine/onnx/a.ts"]);
  });

  it("sees a file outside every room, and an import of an entry point", () => {
    expect(check({ "utils/a.ts": "" })).toEqual(["utils/a.ts is in no room"]);
    expect(check({ "core/a.ts": 'import "../index.ts";', "index.ts": "" })).toEqual([
      "core/a.ts imports the entry point index.ts",
    ]);
  });

  it("holds rooms within a wing to their order, nested ones too", () => {
    const room = { "learning/train/step/a.ts": "export const a = 1;" };
    expect(check({ ...room, "learning/train/b.ts": 'import { a } from "./step/a.ts";' })).toEqual([]);
    expect(check({ ...room, "learning/train/batches/b.ts": 'import { a } from "../step/a.ts";' })).toEqual([
      "learning/train/batches/b.ts imports learning/train/step/a.ts",
    ]);
    expect(check({ "inputs/a.ts": "" })).toEqual(["inputs/a.ts is in no room"]);
  });

  it("lists every room that there is, and none that there is not", () => {
    const folders = [...readSources(src).keys()].map((path) => roomOf(path));
    expect([...new Set(folders)].filter((room) => room !== undefined).sort()).toEqual([...rooms].sort());
  });

  it("sees a circle through three files, and none in an import that is erased", () => {
    const circle = (last: string) => ({
      "core/a.ts": 'import { b } from "./b.ts";',
      "core/b.ts": 'export { c as b } from "./c.ts";',
      "core/c.ts": `${last} { a } from "./a.ts";`,
    });
    expect(check(circle("import"))).toEqual(["core/a.ts → core/b.ts → core/c.ts"]);
    expect(check(circle("import type"))).toEqual([]);
  });

  it("sees a name that two files export, unless one is for pages", () => {
    const size = "export function sizeOf() {}";
    const files = { "core/a.ts": size, "core/a.browser.ts": size, "core/b.ts": "export const sizeOf = 1;" };
    expect(repeatedExports(new Map(Object.entries(files)))).toEqual(["sizeOf: core/a.ts, core/b.ts"]);
  });

  it("lets an entry point name everything", () => {
    expect(check({ ...later, "graph.ts": 'export { a } from "./engine/onnx/a.ts";' })).toEqual([]);
  });
});
