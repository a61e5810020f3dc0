/**
 * The size of the project: lines and function lengths in src, the package as npm packs it, and the files a page fetches.
 *
 *   npm run size
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { build, type Rollup } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const lines = new Map<string, { code: number; tests: number }>();
for (const path of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
  if (!path.endsWith(".ts") || path.endsWith("-wasm.ts")) continue;
  const folder = path.includes("/") ? path.replace(/\/.*/, "") : "(entries)";
  const sizes = lines.get(folder) ?? { code: 0, tests: 0 };
  sizes[path.endsWith(".test.ts") ? "tests" : "code"] +=
    readFileSync(join(root, "src", path), "utf8").split("\n").length - 1;
  lines.set(folder, sizes);
}
const row = (name: string, code: number, tests: number) =>
  console.log(`${name.padEnd(12)} ${String(code).padStart(7)} ${String(tests).padStart(7)}`);
console.log("src             code   tests   (lines)");
for (const [folder, { code, tests }] of [...lines].sort()) row(folder, code, tests);
const total = [...lines.values()].reduce((sum, { code, tests }) => ({
  code: sum.code + code,
  tests: sum.tests + tests,
}));
row("total", total.code, total.tests);

/** Every function of src with a body, tests apart: its name and its length in lines. */
function functionLengths(): { name: string; length: number }[] {
  const found: { name: string; length: number }[] = [];
  for (const path of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".ts") || /(-wasm|\.test)\.ts$/.test(path)) continue;
    const file = ts.createSourceFile(
      path,
      readFileSync(join(root, "src", path), "utf8"),
      ts.ScriptTarget.Latest,
      true,
      ts.ScriptKind.TS,
    );
    const lineOf = (position: number) => file.getLineAndCharacterOfPosition(position).line;
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
        const named =
          ts.isVariableDeclaration(node.parent) || ts.isPropertyAssignment(node.parent) ? node.parent : node;
        const name = (named as { name?: ts.Node }).name?.getText(file) ?? "(anonymous)";
        found.push({ name: `${name} (${path})`, length: lineOf(node.end) - lineOf(node.getStart(file)) + 1 });
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found.sort((a, b) => b.length - a.length);
}

const functions = functionLengths();
const quantile = (q: number) => functions[Math.floor((1 - q) * (functions.length - 1))]!.length;
console.log(
  `${functions.length} functions: median ${quantile(0.5)} lines, 90th percentile ${quantile(0.9)}; the longest:`,
);
for (const { name, length } of functions.slice(0, 15)) console.log(`${String(length).padStart(6)}  ${name}`);

interface Pack {
  readonly size: number;
  readonly unpackedSize: number;
  readonly entryCount: number;
}
const [pack] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: root, encoding: "utf8" })) as [
  Pack,
];
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
console.log(
  `package: ${megabytes(pack.size)} packed, ${megabytes(pack.unpackedSize)} unpacked, ${pack.entryCount} files`,
);

if (!existsSync(join(root, "dist"))) {
  console.error("a page is measured of the build in dist, which is not there; run npm run build first");
  process.exit(1);
}
// A page that imports everything; of what its bundler writes it fetches the first file, and the others when it needs them.
const { output } = (await build({
  root: join(root, "test/browser/page"),
  logLevel: "error",
  build: { write: false },
})) as Rollup.RollupOutput;
console.log("a page, of the build in dist           bytes    gzip");
for (const file of output) {
  if (file.fileName.endsWith(".html")) continue;
  const content = file.type === "chunk" ? file.code : file.source;
  const name = file.fileName.replace(/^assets\//, "").replace(/-[\w-]{8}(?=\.\w+$)/, "");
  const sizes = [Buffer.byteLength(content), gzipSync(content).length].map((size) =>
    size.toLocaleString("en").padStart(11),
  );
  console.log(`${name.padEnd(42)}${sizes.join("")}`);
}
