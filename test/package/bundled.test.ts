import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build as esbuild } from "esbuild";
import { build as viteBuild } from "vite";
import { describe, expect, it } from "vitest";
import { pictogramModel } from "../../src/index.ts";
import { emptyProject } from "./installed.ts";

const folder = await emptyProject();
const entry = join(folder, "app.js");
await writeFile(
  entry,
  `import { loadClip, pictogramModel } from "clip-ts";
async function main([image]) {
  const clip = await loadClip(pictogramModel);
  const [best] = await clip.classify(image, ["a cat", "a rocket"]);
  await clip.release();
  console.log(best.label);
}
main(process.argv.slice(2));
`,
);
const image = fileURLToPath(new URL("../../assets/samples/rocket.png", import.meta.url));
const native = ["onnxruntime-node", "sharp", "koffi"];
const isThere = existsSync(pictogramModel);
const modelMissing = isThere ? "" : " (skipped: the model in the box is not there)";

/** A program for Node as a bundler writes it. */
async function bundle(name: string, external: readonly string[]): Promise<string> {
  const [tool, format] = name.split(" ") as ["esbuild" | "vite", "esm" | "cjs"];
  const outdir = join(folder, `${tool}-${format}-${external.length}`);
  const file = join(outdir, format === "esm" ? "app.mjs" : "app.cjs");
  if (tool === "esbuild") {
    const options = { bundle: true, platform: "node", logLevel: "error" } as const;
    await esbuild({ ...options, format, external: [...external], entryPoints: [entry], outfile: file });
  } else {
    await viteBuild({
      ...{ root: folder, logLevel: "error", configFile: false },
      ssr: { noExternal: true, external: [...external] },
      build: { ssr: entry, outDir: outdir, rollupOptions: { output: { format, entryFileNames: "app.mjs" } } },
    });
  }
  return file;
}

describe.each(["esbuild esm", "esbuild cjs", "vite esm"])("a server's bundle by %s", { timeout: 240_000 }, (name) => {
  it.skipIf(!isThere)(`works with the package external${modelMissing}`, async () => {
    const file = await bundle(name, ["clip-ts"]);
    const { stdout } = await promisify(execFile)(process.execPath, [file, image], { cwd: folder });
    expect(stdout).toBe("a rocket\n");
  });

  it("says with the package inside that it must be external, and how", async () => {
    const file = await bundle(name, native);
    const failed = (await promisify(execFile)(process.execPath, [file, image], { cwd: folder }).then(
      ({ stdout }) => ({ stderr: stdout }),
      (error: unknown) => error,
    )) as { readonly stderr: string };
    expect(failed.stderr).toContain("ClipError: clip-ts was bundled without its workers, models and vocabulary");
    for (const way of ["--external:clip-ts", "serverExternalPackages", "ssr: {", 'externals: { "clip-ts"'])
      expect(failed.stderr).toContain(way);
  });
});
