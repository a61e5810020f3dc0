import type { SavedState } from "../../src/learning/train/step/trainer-state.ts";

/** A state read whole, as it is now. */
export interface Snapshot extends SavedState {
  readonly arrays: ReadonlyMap<string, Float32Array>;
  /** The arrays of a group, by path. */
  readonly of: (group: "parameter" | "first" | "second" | "average") => Map<string, Float32Array>;
}

/** A state of these arrays. */
export function stateWith(steps: number, arrays: ReadonlyMap<string, Float32Array>): Snapshot {
  const lengths = new Map(Array.from(arrays, ([name, { length }]) => [name, length]));
  const read = (name: string) => Promise.resolve(arrays.get(name)!.slice());
  const of = (group: string) => {
    const own = [...arrays].filter(([name]) => name.startsWith(`${group}.`));
    return new Map(own.map(([name, values]) => [name.slice(group.length + 1), values]));
  };
  return { steps, lengths, read, arrays, of };
}

export async function snapshotOf(state: SavedState): Promise<Snapshot> {
  const { steps, lengths } = state;
  const arrays = new Map<string, Float32Array>();
  for (const name of lengths.keys()) arrays.set(name, await state.read(name));
  return stateWith(steps, arrays);
}
