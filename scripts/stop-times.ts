/**
 * Seconds until the built command line has ended after Ctrl-C and SIGTERM, whatever it is at. Fails beyond two.
 *
 *   npm run build && npx tsx scripts/stop-times.ts
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { endlessCommands } from "../test/process/endless-commands.ts";

const wanted = 2;
/** By then it is at its work. */
const startMs = 5000;
const bin = fileURLToPath(new URL("../bin/clip-ts.js", import.meta.url));

async function main(): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "clip-ts-"));
  try {
    const { commands, env, input } = await endlessCommands(root);
    for (const what of Object.keys(commands(""))) {
      const seconds: string[] = [];
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        const child = spawn(process.execPath, [bin, ...commands(signal)[what]!], {
          env,
          stdio: ["pipe", "ignore", "ignore"],
        });
        const closed = once(child, "close");
        child.stdin.on("error", () => {});
        child.stdin.write(input);
        if (!what.startsWith("an input")) child.stdin.end();
        await sleep(startMs);
        if (child.exitCode !== null) throw new Error(`${what} ended before the signal`);
        const begin = performance.now();
        child.kill(signal);
        await closed;
        const took = (performance.now() - begin) / 1000;
        seconds.push(`${took.toFixed(2)} s after ${signal}`);
        if (took > wanted) process.exitCode = 1;
      }
      console.log(`${what.padEnd(40)} ${seconds.join(", ")}`);
    }
    console.log(process.exitCode === 1 ? `failed: wanted at most ${wanted} s` : `passed: at most ${wanted} s`);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

await main();
