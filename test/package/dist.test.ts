import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const dist = join(root, "dist");
const { dependencies, devDependencies, optionalDependencies, peerDependencies, exports, files } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
) as Record<string, Readonly<Record<string, unknown>>> & { readonly files: readonly string[] };
const installed = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
const development = Object.keys(devDependencies!).filter((name) => !installed.includes(name));

const built = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((path) => /\.[jt]s$/.test(path));
const read = (path: string) => readFileSync(join(dist, path), "utf8");
const importsOf = (path: string) => ts.preProcessFile(read(path)).importedFiles.map(({ fileName }) => fileName);
const packageOf = (specifier: string) => /^(@[^/]+\/)?[^/]+/.exec(specifier)![0];
const isOf = (names: readonly string[]) => (specifier: string) => names.includes(packageOf(specifier));

describe("the build", () => {
  it("imports nothing but Node's modules and what is installed with it", () => {
    expect(built.length).toBeGreaterThan(400);
    for (const path of built) {
      const packages = importsOf(path).filter((specifier) => !specifier.startsWith(".") && !isBuiltin(specifier));
      expect(
        packages.filter((specifier) => !isOf(installed)(specifier)),
        path,
      ).toEqual([]);
    }
  });

  it("imports of its own only what is built", () => {
    for (const path of built) {
      const places = importsOf(path).flatMap((specifier) =>
        specifier.startsWith(".") ? join(dist, dirname(path), specifier.replace(/\.ts$/, ".d.ts")) : [],
      );
      expect(
        places.filter((place) => !existsSync(place)),
        path,
      ).toEqual([]);
    }
  });

  it("names no package of development in any other way", () => {
    const literal = /(["'`])((?:@[\w.-]+\/)?[\w.-]+(?:\/[\w./-]+)?)\1/g;
    for (const path of built) {
      const named = Array.from(read(path).matchAll(literal), ([, , text]) => text!);
      expect(named.filter(isOf(development)), path).toEqual([]);
    }
  });

  it("has what package.json exports", () => {
    const targets = (entry: unknown): string[] =>
      typeof entry === "string" ? [entry] : Object.values(entry as object).flatMap(targets);
    const all = Object.values(exports!).flatMap(targets);
    const missing = all.filter((target) => !existsSync(join(root, target.replace(/\*$/, ""))));
    expect(missing).toEqual([]);
    const isPacked = (target: string) => files.some((name) => target.startsWith(`./${name}/`));
    expect(all.filter((target) => !isPacked(target))).toEqual(["./package.json"]);
  });
});
