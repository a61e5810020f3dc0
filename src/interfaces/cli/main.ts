import { removeOpenTemporaries } from "../../core/atomic-write.ts";
import { processIo } from "./io.ts";
import { exitCodes, reportError, run } from "./program.ts";
import { StopSignals } from "./signals.ts";

/** The command line: reads the process's arguments, and sets its exit code. */
export async function main(): Promise<void> {
  const stop = new StopSignals();
  const io = processIo(stop.signal);
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    // Whoever read the results has seen enough: `clip-ts … | head`.
    if (code === "EPIPE") process.exit(exitCodes.done);
    io.err(`clip-ts: cannot write the results: ${code === "ENOSPC" ? "the disk is full" : message}`);
    process.exit(exitCodes.failed);
  });
  // Node would print both as they are, with names that steer the terminal. A promise that nobody waits for comes here too.
  process.on("uncaughtException", (error) => {
    reportError("clip-ts", error, io);
    process.exit(exitCodes.failed);
  });
  // None where the user wants no warnings.
  if (process.listenerCount("warning") > 0)
    process.removeAllListeners("warning").on("warning", ({ name, message }) => io.err(`clip-ts: ${name}: ${message}`));
  // Whichever way the process ends.
  process.on("exit", removeOpenTemporaries);
  stop.finish(await run(process.argv.slice(2), io));
}
