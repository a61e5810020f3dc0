import { processIo } from "./io.ts";
import { exitCodes, run } from "./program.ts";

/** The command line: reads the process's arguments, and sets its exit code. */
export async function main(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // The second time it is meant: nothing is waited for.
      if (stop.signal.aborted) process.exit(exitCodes.stopped);
      stop.abort();
    });
  }
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    // Whoever read the results has seen enough: `clip-ts … | head`.
    if (code === "EPIPE") process.exit(exitCodes.done);
    console.error(`clip-ts: cannot write the results: ${code === "ENOSPC" ? "the disk is full" : message}`);
    process.exit(exitCodes.failed);
  });
  process.exitCode = await run(process.argv.slice(2), processIo(stop.signal));
}
