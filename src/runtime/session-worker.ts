import { parentPort, workerData } from "node:worker_threads";
import type { OnnxModel } from "../onnx/build.ts";
import { ExitGate } from "./exit-gate.ts";
import { type NamedTensors, OrtSession, type SessionOptions } from "./ort-session.ts";

/** What the main thread asks of the worker. */
export type SessionRequest =
  | { readonly kind: "create"; readonly model: OnnxModel; readonly options: SessionOptions }
  | { readonly kind: "run"; readonly session: number; readonly feeds: NamedTensors }
  | { readonly kind: "release"; readonly session: number };

const gate = new ExitGate(workerData as SharedArrayBuffer);
const sessions = new Map<number, OrtSession>();
let created = 0;

async function answer(request: SessionRequest): Promise<number | NamedTensors | undefined> {
  switch (request.kind) {
    case "create":
      sessions.set(++created, await OrtSession.create(request.model, request.options));
      return created;
    case "run":
      return sessions.get(request.session)!.run(request.feeds);
    case "release":
      await sessions.get(request.session)!.release();
      sessions.delete(request.session);
      return undefined;
  }
}

// One request at a time: runs on one machine would only take the cores from each other.
let queue = Promise.resolve();
parentPort!.on("message", (message: { id: number; request: SessionRequest }) => {
  queue = queue.then(() => gate.pass(() => respond(message)));
});

async function respond({ id, request }: { id: number; request: SessionRequest }): Promise<void> {
  try {
    const result = await answer(request);
    const buffers =
      typeof result === "object" ? Object.values(result).map(({ data }) => data.buffer as ArrayBuffer) : [];
    parentPort!.postMessage({ id, result }, [...new Set(buffers)]);
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    parentPort!.postMessage({ id, error: { code, message } });
  }
}
