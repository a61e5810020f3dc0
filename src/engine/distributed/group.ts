import { ClipError } from "../../core/errors.ts";
import { concatenate } from "../../core/tensor-data.ts";

/**
 * The processes of one job, as one of them sees it. All make the same calls in the same order, with arrays of the same lengths;
 * a call returns when the others have made it too, and blocks its thread until then.
 */
export interface Group {
  /** The number of this process, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** Time spent in calls so far, in which one waits for the slowest. */
  readonly seconds: number;
  /** The arrays of all ranks, one after the other. */
  allGather<Values extends Float32Array | Int32Array>(values: Values): Values;
  /** Puts in the place of each number the sum over all ranks, which is the same to the bit everywhere. */
  allReduce(values: Float32Array): void;
  /** Puts rank 0's numbers into the place of everyone's. */
  broadcast(values: Float32Array): void;
  /** What each rank says, by rank; of any lengths. */
  exchange(text: string): string[];
  /** Says why, and ends every process of the job, this one too. */
  abort(message: string): void;
  /** The last call. */
  leave(): void;
}

/** What the other threads of a process need of its group. */
export interface Processes extends Pick<Group, "rank" | "size"> {
  /** As in {@link Group}. */
  exchange(text: string): Promise<readonly string[]>;
}

/** One process, which has nobody to talk to. */
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

/** The same for the other threads. */
export const oneProcess: Processes = { rank: 0, size: 1, exchange: (text) => Promise.resolve([text]) };

/** Arrays of fewer numbers travel together. */
export const smallLength = 2 ** 16;

/** {@link Group.allReduce} of several arrays: small ones go as one, which alone would wait longer than they travel. */
export function sumOver(group: Group, arrays: readonly Float32Array[]): void {
  const small = arrays.filter(({ length }) => length < smallLength);
  const together = concatenate(small);
  group.allReduce(together);
  let at = 0;
  for (const values of small) values.set(together.subarray(at, (at += values.length)));
  for (const values of arrays) if (values.length >= smallLength) group.allReduce(values);
}

/**
 * Asks all ranks whether they have the same.
 *
 * @param what - what it is, for the message.
 * @throws {ClipError} `CLIP_GROUP`, in every process, naming those that differ from rank 0.
 */
export async function expectSame(peers: Processes, value: string, what: string): Promise<void> {
  const values = await peers.exchange(value);
  const others = values.flatMap((each, rank) => (each === values[0] ? [] : [rank]));
  if (others.length === 0) return;
  const ranks = others.length === 1 ? `process ${others[0]} has` : `processes ${others.join(", ")} have`;
  throw new ClipError("CLIP_GROUP", `${ranks} ${what} than process 0`);
}
