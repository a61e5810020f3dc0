import type { Remote } from "../../../engine/threads/remote.ts";
import { type TrainerState, restoreState } from "./trainer-state.ts";
import type { TrainerMethods } from "./trainer-worker.ts";

/** What the engine of a thread holds now; arrays show what it does until they are read. */
export async function stateOf(engine: Remote<TrainerMethods>): Promise<TrainerState> {
  const { steps, lengths } = await engine.call("layout", []);
  return { steps, lengths, read: (name) => engine.call("read", [name]) };
}

/**
 * Lets the engine of a thread go on from a state.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it is not one of this model.
 */
export async function restoreTrainer(engine: Remote<TrainerMethods>, state: TrainerState): Promise<void> {
  const { lengths } = await stateOf(engine);
  const write = (name: string, values: Float32Array) => engine.call("write", [name, values], [values]);
  await restoreState({ lengths, write, resumeAt: (steps) => engine.call("goOnFrom", [steps]) }, state);
}

/** The averaged weights if there are any, else the last ones, by path. */
export async function finalWeights(engine: Remote<TrainerMethods>): Promise<Map<string, Float32Array>> {
  const state = await stateOf(engine);
  const names = [...state.lengths.keys()];
  const prefix = names.some((name) => name.startsWith("average.")) ? "average." : "parameter.";
  const weights = new Map<string, Float32Array>();
  for (const name of names) if (name.startsWith(prefix)) weights.set(name.slice(prefix.length), await state.read(name));
  return weights;
}
