import type { Remote } from "../../../engine/threads/remote.ts";
import { restoreState, type SavedState } from "./trainer-state.ts";
import type { TrainerMethods } from "./trainer-worker.ts";

/** The current state of a trainer on a thread; its arrays change with the next step. */
export async function stateOf(trainer: Remote<TrainerMethods>): Promise<SavedState> {
  const { steps, lengths } = await trainer.call("layout", []);
  return { steps, lengths, read: (name) => trainer.call("read", [name]) };
}

/** {@link restoreState} for a trainer on a thread. */
export async function restoreTrainer(trainer: Remote<TrainerMethods>, state: SavedState): Promise<void> {
  const { lengths } = await stateOf(trainer);
  const write = (name: string, values: Float32Array) => trainer.call("write", [name, values], [values]);
  await restoreState({ lengths, write, resumeAt: (steps) => trainer.call("resumeAt", [steps]) }, state);
}

/** The averaged weights if there are any, otherwise the last ones, by path. */
export async function finalWeights(trainer: Remote<TrainerMethods>): Promise<Map<string, Float32Array>> {
  const state = await stateOf(trainer);
  const names = [...state.lengths.keys()];
  const prefix = names.some((name) => name.startsWith("average.")) ? "average." : "parameter.";
  const weights = new Map<string, Float32Array>();
  for (const name of names) if (name.startsWith(prefix)) weights.set(name.slice(prefix.length), await state.read(name));
  return weights;
}
