import { processIo } from "./io.ts";
import { exitCodes, run } from "./program.ts";
import { StopSignals } from "./signals.ts";

/** The command line: reads the process's arguments, and sets its exit code. */
export async function main(): Promise<void> {
  const stop = new StopSignals();
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    // Whoever read the results has seen enough: `clip-ts … | head`.
    if (code === "EPIPE") process.exit(exitCodes.done);
    console.error(`clip-ts: cannot write the results: ${code === "ENOSPC" ? "the disk is full" : message}`);
    process.exit(exitCodes.failed);
  });
  stop.finish(await run(process.argv.slice(2), processIo(stop.signal)));
}
