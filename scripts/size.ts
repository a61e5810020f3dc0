/**
 * How large the project is: lines in each folder of src, tests apart, and the package as npm packs it.
 *
 *   npm run size
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

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
