import { processIo } from "./io.ts";
import { run } from "./program.ts";

/** The command line: reads the process's arguments, and sets its exit code. */
export async function main(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // The second time it is meant: nothing is waited for.
      if (stop.signal.aborted) process.exit(stoppedByUser);
      stop.abort();
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read the results has seen enough: `clip-ts … | head`.
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.exitCode = await run(process.argv.slice(2), processIo(stop.signal));
}

/** 128 + SIGINT, as shells have it. */
const stoppedByUser = 130;
