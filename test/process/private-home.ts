import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));

/** How a child process ended, and every file and folder that it left in its home, temporary and XDG folders. */
export interface Ended {
  readonly code: number | NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
  readonly left: readonly string[];
}

/**
 * Runs node in an environment of its own, as on a machine of somebody who has set nothing: without `CI`, with an empty home,
 * temporary folder and XDG folders, all under `root`.
 *
 * @param env - further variables.
 */
export async function runPrivately(
  root: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const home = await mkdtemp(join(root, "home-"));
  const folders = {
    HOME: "home",
    TMPDIR: "tmp",
    XDG_CACHE_HOME: "cache",
    XDG_CONFIG_HOME: "config",
    XDG_DATA_HOME: "data",
  };
  const own = Object.fromEntries(Object.entries(folders).map(([name, folder]) => [name, join(home, folder)]));
  await Promise.all(Object.values(own).map((folder) => mkdir(folder)));
  const child = spawn(process.execPath, args, {
    cwd: project,
    env: { PATH: process.env["PATH"], ...own, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on("close", (code, signal) => resolve(code ?? signal)),
  );
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const code = await ended;
  const all = await readdir(home, { recursive: true });
  return { code, out, err, left: all.filter((path) => !Object.values(folders).includes(path)).sort() };
}
