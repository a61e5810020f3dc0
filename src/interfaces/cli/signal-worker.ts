import { constants } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import type { StopMessage, StopRequest } from "./signals.ts";

/** libuv's signal handle; `process.on` creates one only in the main thread. */
interface SignalHandle {
  onsignal: () => void;
  start(signal: number): void;
  close(): void;
}

const { signals, deadlineMs } = workerData as StopRequest;
const post = (message: StopMessage) => parentPort!.postMessage(message);

// A thread of its own hears a signal while the main thread is blocked: in a regular expression, in a write to a pipe that nobody
// reads, or waiting for native work at exit. Only Node's internals let a worker listen.
process.noDeprecation = true;
const internals = process as unknown as { binding?(name: string): { Signal: new () => SignalHandle } };
try {
  const { Signal } = internals.binding!("signal_wrap");
  const handles = signals.map((signal) => {
    const handle = new Signal();
    handle.onsignal = () => {
      // The next signal, from outside or from this thread, ends the process.
      for (const each of handles) each.close();
      post(signal);
      setTimeout(() => process.kill(process.pid, signal), deadlineMs);
    };
    return handle;
  });
  signals.forEach((signal, i) => handles[i]!.start(constants.signals[signal]));
} catch {
  post("deaf");
}
