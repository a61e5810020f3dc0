import { parentPort, workerData } from "node:worker_threads";
import { ExitGate } from "./exit-gate.ts";

/** What is done for a message; what it posts goes to whoever started the thread. */
export type MessageWork = (
  message: unknown,
  post: (answer: unknown, moved: readonly ArrayBuffer[]) => void,
) => Promise<void>;

/** On a thread: does the work for each message, one at a time in order. */
export function listen(work: MessageWork): void {
  const gate = new ExitGate(workerData as SharedArrayBuffer);
  let queue = Promise.resolve();
  parentPort!.on("message", (message) => {
    queue = queue.then(() => gate.pass(() => work(message, (answer, moved) => parentPort!.postMessage(answer, moved))));
  });
}
