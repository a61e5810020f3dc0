import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Called } from "./call.ts";

const bin = fileURLToPath(new URL("../../bin/clip-ts.js", import.meta.url));

/** Starts the built command line as a process of its own. */
export function start(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(process.execPath, [bin, ...args], options);
}

/** Runs it to its end. */
export async function runProcess(args: readonly string[], input = ""): Promise<Called> {
  const child = start(args);
  child.stdin!.end(input);
  const code = new Promise<number>((resolve) => child.on("close", (exitCode) => resolve(exitCode ?? -1)));
  const [out, err] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
  return { code: await code, out, err };
}
