import { removeOpenTemporaries } from "../../core/atomic-write.ts";
import { processIo } from "./io.ts";
import { exitCodes, reportError, run } from "./program.ts";
import { StopSignals } from "./signals.ts";

export async function main(): Promise<void> {
  const stop = new StopSignals();
  const io = processIo(stop.signal);
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    // The reader has closed the pipe: `clip-ts … | head`.
    if (code === "EPIPE") process.exit(exitCodes.done);
    io.err(`clip-ts: cannot write the results: ${code === "ENOSPC" ? "the disk is full" : message}`);
    process.exit(exitCodes.failed);
  });
  // Node would print both unescaped. Unhandled rejections come here too.
  process.on("uncaughtException", (error) => {
    reportError("clip-ts", error, io);
    process.exit(exitCodes.failed);
  });
  // NODE_NO_WARNINGS leaves no listener.
  if (process.listenerCount("warning") > 0)
    process.removeAllListeners("warning").on("warning", ({ name, message }) => io.err(`clip-ts: ${name}: ${message}`));
  // However the process ends.
  process.on("exit", removeOpenTemporaries);
  stop.finish(await run(process.argv.slice(2), io));
}
