import type { OnnxModel } from "../onnx/build.ts";
import { type NamedTensors, OrtSession, type SessionOptions } from "./ort-session.ts";
import { Moved } from "../threads/serve.ts";

const sessions = new Map<number, OrtSession>();
let created = 0;

export const sessionMethods = {
  async create(model: OnnxModel, options: SessionOptions): Promise<number> {
    sessions.set(++created, await OrtSession.create(model, options));
    return created;
  },
  async run(session: number, feeds: NamedTensors): Promise<Moved<NamedTensors>> {
    const outputs = await sessions.get(session)!.run(feeds);
    const arrays = Object.values(outputs).map(({ data }) => data);
    return new Moved(outputs, arrays);
  },
  async release(session: number): Promise<void> {
    await sessions.get(session)!.release();
    sessions.delete(session);
  },
};

export type SessionMethods = typeof sessionMethods;
