import { ClipError } from "../../../core/errors.ts";

/**
 * All that a run goes on from: what an engine holds and a checkpoint keeps. Its arrays are read one at a time, since those of a ViT-B/32 are 2 GB
 * together.
 */
export interface TrainerState {
  /** Updates made. */
  readonly steps: number;
  /**
   * How many numbers each array has, by name: `parameter.` (running statistics among them), the optimiser's `first.` and `second.` moments and
   * the moving `average.`, each before a path.
   */
  readonly lengths: ReadonlyMap<string, number>;
  /** A copy of an array. */
  read(name: string): Promise<Float32Array>;
}

/** What takes a state over. */
export interface TrainerStateTarget {
  readonly lengths: ReadonlyMap<string, number>;
  write(name: string, values: Float32Array): Promise<void>;
  /** Counts from so many updates on. */
  resumeAt(steps: number): Promise<void> | void;
}

/**
 * Goes on from a state.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it is not one of this model; nothing is changed then.
 */
export async function restoreState(target: TrainerStateTarget, state: TrainerState): Promise<void> {
  for (const [name, length] of target.lengths) {
    const saved = state.lengths.get(name);
    if (saved === length) continue;
    const both = `${name} has ${saved ?? "no"} numbers in it, ${length} are wanted`;
    throw new ClipError("CLIP_CHECKPOINT", `the checkpoint is not one of this model: ${both}`);
  }
  for (const name of target.lengths.keys()) await target.write(name, await state.read(name));
  await target.resumeAt(state.steps);
}
