import { constants } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import type { StopMessage, StopRequest } from "./signals.ts";

/** libuv's signal handle, of which `process.on` makes one for the main thread alone. */
interface SignalHandle {
  onsignal: () => void;
  start(signal: number): void;
  close(): void;
}

const { signals, deadlineMs } = workerData as StopRequest;
const tell = (message: StopMessage) => parentPort!.postMessage(message);

// This thread does nothing else, so that a signal is heard while the main thread is blocked: in a regular expression, in a
// write to a pipe that nobody reads, in the wait for native work at the process's end. Only Node's internals let a worker listen.
process.noDeprecation = true;
const internals = process as unknown as { binding?(name: string): { Signal: new () => SignalHandle } };
try {
  const { Signal } = internals.binding!("signal_wrap");
  const handles = signals.map((signal) => {
    const handle = new Signal();
    handle.onsignal = () => {
      // From here on the system ends the process at the next signal, which may be the second from outside, or this thread's.
      for (const each of handles) each.close();
      tell(signal);
      setTimeout(() => process.kill(process.pid, signal), deadlineMs);
    };
    return handle;
  });
  signals.forEach((signal, i) => handles[i]!.start(constants.signals[signal]));
} catch {
  tell("deaf");
}
