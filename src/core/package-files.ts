import { existsSync } from "node:fs";
import { ClipError } from "./errors.ts";

/*
 * Workers and assets are located relative to this module, so `import.meta.url` is used only here. Bundlers change it:
 * to the address of their output, to nothing, or to this module's path on the build machine.
 */
const [, root, folder, ending] = /^(file:.*\/)(src|dist)\/core\/package-files(\.[jt]s)$/.exec(import.meta.url) ?? [];

/** True if the TypeScript sources run directly. */
export const runsFromSource = ending === ".ts";

/**
 * URL of a file or folder of this package, which need not exist.
 *
 * @param path - relative to the package's folder: `"assets/clip-merges.txt.gz"`.
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

/** Node's option for programs from `node -e` or standard input. Threads and processes inherit it, and Node refuses it for files. */
export const inputType = /(^|\s)--input-type[=\s]\S+/g;

/** Environment without {@link inputType}, for a thread or process that runs a module of this package. */
export function moduleEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS, ...others } = process.env;
  return NODE_OPTIONS === undefined ? others : { ...others, NODE_OPTIONS: NODE_OPTIONS.replace(inputType, "") };
}

/**
 * URL of a module of this package, for starting a thread.
 *
 * @param path - relative to the code's folder, without extension: `"engine/runtime/session-worker"`.
 * @throws {ClipError} as {@link packageFile}.
 */
export const packageModule = (path: string): URL => packageFile(`${folder}/${path}${ending}`);
