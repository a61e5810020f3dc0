export type Source<Item> = Iterable<Item> | AsyncIterable<Item>;

/** Groups items by `size`; the last group may be smaller. Holds at most one group. `signal` stops between groups. */
export async function* batches<Item>(items: Source<Item>, size: number, signal?: AbortSignal): AsyncGenerator<Item[]> {
  let batch: Item[] = [];
  for await (const item of items) {
    signal?.throwIfAborted();
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
    signal?.throwIfAborted();
  }
  if (batch.length > 0) yield batch;
}

/** Size of Node's thread pool unless configured otherwise: the files read and decoded in parallel. */
const atOnce = 4;

/** Maps items, four in parallel, and yields results in the order of the items. An error is thrown at its item's turn. */
export async function* mapInOrder<From, To>(items: Source<From>, map: (item: From) => Promise<To>): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  for await (const item of items) {
    const made = map(item);
    made.catch(() => undefined); // still thrown to the consumer; not unhandled if the consumer stops early
    begun.push(made);
    if (begun.length === atOnce) yield await begun.shift()!;
  }
  while (begun.length > 0) yield await begun.shift()!;
}

/** Yields the same items, but produces the next one while the current one is in use. */
export async function* oneAhead<Item>(items: AsyncGenerator<Item>): AsyncGenerator<Item> {
  let next = items.next();
  try {
    for (let result = await next; !result.done; result = await next) {
      next = items.next();
      next.catch(() => undefined); // still thrown to the consumer; not unhandled if the consumer stops early
      yield result.value;
    }
  } finally {
    await items.return(undefined);
  }
}
