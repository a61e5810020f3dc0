import { parentPort, workerData } from "node:worker_threads";
import { ExitGate } from "./exit-gate.ts";

/** Handles a message; `post` answers to the starting thread. */
export type MessageWork = (
  message: unknown,
  post: (answer: unknown, moved: readonly ArrayBuffer[]) => void,
) => Promise<void>;

/** On a worker thread: handles messages one at a time, in order. */
export function listen(work: MessageWork): void {
  const gate = new ExitGate(workerData as SharedArrayBuffer);
  let queue = Promise.resolve();
  parentPort!.on("message", (message) => {
    queue = queue.then(() => gate.pass(() => work(message, (answer, moved) => parentPort!.postMessage(answer, moved))));
  });
}
