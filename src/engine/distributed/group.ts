import { ClipError } from "../../core/errors.ts";
import { concatenate } from "../../core/tensor-data.ts";

/**
 * The processes that train together. All must make the same calls in the same order, with arrays of equal lengths; a call blocks its
 * thread until all have made it.
 */
export interface Group {
  /** Number of this process, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Time spent in calls so far, waiting included. */
  readonly seconds: number;
  /** Concatenates the arrays of all ranks. */
  allGather<Values extends Float32Array | Int32Array>(values: Values): Values;
  /** Replaces each number with its sum over all ranks, equal to the bit everywhere. */
  allReduce(values: Float32Array): void;
  /** Replaces the numbers with those of rank 0. */
  broadcast(values: Float32Array): void;
  /** Each rank's text, by rank; lengths may differ. */
  exchange(text: string): string[];
  /** Prints a message and ends all processes, this one included. */
  abort(message: string): void;
  /** Leaves the group; no call may follow. */
  leave(): void;
}

/** The group as other threads of a process see it. */
export interface Processes extends Pick<Group, "rank" | "size"> {
  exchange(text: string): Promise<readonly string[]>;
}

/** The group of a single process. */
export const alone: Group = {
  rank: 0,
  size: 1,
  seconds: 0,
  allGather: (values) => values,
  allReduce: () => undefined,
  broadcast: () => undefined,
  exchange: (text) => [text],
  abort: () => undefined,
  leave: () => undefined,
};

/** {@link alone} for other threads. */
export const oneProcess: Processes = { rank: 0, size: 1, exchange: (text) => Promise.resolve([text]) };

/** Shorter arrays are reduced together. */
export const smallLength = 2 ** 16;

/** {@link Group.allReduce} of several arrays, small ones in one call: each call has a latency. */
export function sumOver(group: Group, arrays: readonly Float32Array[]): void {
  const small = arrays.filter(({ length }) => length < smallLength);
  const together = concatenate(small);
  group.allReduce(together);
  let at = 0;
  for (const values of small) values.set(together.subarray(at, (at += values.length)));
  for (const values of arrays) if (values.length >= smallLength) group.allReduce(values);
}

/**
 * Checks that a value is equal in all processes.
 *
 * @param difference - what a process has if its value differs: "other parameters".
 * @throws {ClipError} `CLIP_GROUP` in every process, listing those that differ from rank 0.
 */
export async function expectSame(peers: Processes, value: string, difference: string): Promise<void> {
  const values = await peers.exchange(value);
  const others = values.flatMap((each, rank) => (each === values[0] ? [] : [rank]));
  if (others.length === 0) return;
  const ranks = others.length === 1 ? `process ${others[0]} has` : `processes ${others.join(", ")} have`;
  throw new ClipError("CLIP_GROUP", `${ranks} ${difference} than process 0; start all with the same files and version`);
}
