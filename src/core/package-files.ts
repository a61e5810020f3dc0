import { existsSync } from "node:fs";
import { ClipError } from "./errors.ts";

/*
 * Workers and assets are found by where this very module is, so only here is `import.meta.url` asked. Bundlers change it: to the
 * address of their output, to nothing, or to the place where this module was on the machine that built.
 */
const [, root, folder, ending] = /^(file:.*\/)(src|dist)\/core\/package-files(\.[jt]s)$/.exec(import.meta.url) ?? [];

/** True where the sources run, under a loader for TypeScript. */
export const runsFromSource = ending === ".ts";

/**
 * The address of a file or folder of this package, whether it is there or not.
 *
 * @param path - from the package's own folder: `"assets/clip-merges.txt.gz"`.
 * @throws {ClipError} `CLIP_FILE` if a bundler has moved the code away from the package's files.
 */
export function packageFile(path: string): URL {
  if (root === undefined || !existsSync(new URL("package.json", root)))
    throw new ClipError(
      "CLIP_FILE",
      "clip-ts was bundled without its workers, models and vocabulary, which it reads from its own folder; " +
        "keep it external and install it beside the bundle: esbuild --external:clip-ts, " +
        'webpack externals: { "clip-ts": "module clip-ts" }, Rollup external: ["clip-ts"], ' +
        'Vite ssr: { external: ["clip-ts"] }, Next.js serverExternalPackages: ["clip-ts"]',
    );
  return new URL(path, root);
}

/** The kind of a program that comes by `node -e` or the standard input. Threads and processes inherit it, and node refuses it of a file. */
export const inputType = /(^|\s)--input-type[=\s]\S+/g;

/** The environment of a thread or process that runs a module of this package: without {@link inputType}. */
export function moduleEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS, ...others } = process.env;
  return NODE_OPTIONS === undefined ? others : { ...others, NODE_OPTIONS: NODE_OPTIONS.replace(inputType, "") };
}

/**
 * The address of a module of this package, for a thread to start with.
 *
 * @param path - from the folder of the code, without its ending: `"engine/runtime/session-worker"`.
 * @throws {ClipError} as {@link packageFile}.
 */
export const packageModule = (path: string): URL => packageFile(`${folder}/${path}${ending}`);
