import type { ClipErrorCode } from "../../core/errors.ts";
import { listen } from "./listen.ts";

/** Methods of a thread; arguments and results must be structured-cloneable. */
export type Methods = { readonly [name: string]: (...args: never[]) => unknown };

/** A result whose buffers are transferred to the caller, not copied. */
export class Moved<Value> {
  readonly value: Value;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: Value, arrays: Iterable<ArrayBufferView>) {
    this.value = value;
    this.buffers = buffersOf(arrays);
  }
}

interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: readonly never[];
}

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code?: ClipErrorCode; readonly message: string };
}

/** Buffers of arrays, without duplicates, as a transfer list. */
export function buffersOf(arrays: Iterable<ArrayBufferView>): ArrayBuffer[] {
  return [...new Set(Array.from(arrays, ({ buffer }) => buffer as ArrayBuffer))];
}

/** On a worker thread: answers calls one at a time, in order, since each may use all cores. */
export function serve(methods: Methods): void {
  listen(async (message, post) => {
    const { id, name, args } = message as Call;
    try {
      const result: unknown = await methods[name]!(...args);
      const { value, buffers } = result instanceof Moved ? (result as Moved<unknown>) : { value: result, buffers: [] };
      post({ id, result: value }, buffers);
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      post({ id, error: { code, message } }, []);
    }
  });
}
