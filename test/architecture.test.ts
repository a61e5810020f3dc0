import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cycles, orderViolations, readSources } from "./architecture.ts";

describe("the sources", () => {
  const sources = readSources(fileURLToPath(new URL("../src", import.meta.url)));

  it("import only from their own folder and from earlier ones", () => {
    expect(sources.has("graph/tensor.ts")).toBe(true);
    expect(orderViolations(sources)).toEqual([]);
  });

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
  const later = { "onnx/a.ts": "export const a = 1;" };

  it.each([
    ["static", 'import { a } from "../onnx/a.ts";'],
    ["spread over lines", 'import {\n  a,\n} from "../onnx/a.ts";'],
    ["type-only", 'import type { a } from "../onnx/a.ts";'],
    ["in a type", 'type A = typeof import("../onnx/a.ts");'],
    ["dynamic", 'const a = await import("../onnx/a.ts");'],
    ["re-exporting", 'export * from "../onnx/a.ts";'],
  ])("sees a forbidden import that is %s", (_, text) => {
    expect(check({ ...later, "core/b.ts": text })).toEqual(["core/b.ts imports onnx/a.ts"]);
  });

  it("sees a folder without a place, and an import of an entry point", () => {
    expect(check({ "utils/a.ts": "" })).toEqual(["utils/a.ts: its folder has no place in the order"]);
    expect(check({ "core/a.ts": 'import "../index.ts";', "index.ts": "" })).toEqual([
      "core/a.ts imports the entry point index.ts",
    ]);
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

  it("lets an entry point name everything", () => {
    expect(check({ ...later, "graph.ts": 'export { a } from "./onnx/a.ts";' })).toEqual([]);
  });
});
