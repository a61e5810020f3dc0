/** A collection or a stream. */
export type Source<Item> = Iterable<Item> | AsyncIterable<Item>;

/** Items as groups of `size`, the last perhaps smaller; at most one group is held. `signal` stops between groups. */
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

/** As many files as Node reads and decodes at a time, unless it is told otherwise. */
const atOnce = 4;

/**
 * What `map` makes of each item, in the order of the items; four are made at a time, so that an image does not wait for the one
 * before. An error comes when its item's turn does.
 */
export async function* mapInOrder<From, To>(items: Source<From>, map: (item: From) => Promise<To>): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  for await (const item of items) {
    const made = map(item);
    made.catch(() => undefined); // whoever takes it gets the error; nobody does after leaving early
    begun.push(made);
    if (begun.length === atOnce) yield await begun.shift()!;
  }
  while (begun.length > 0) yield await begun.shift()!;
}

/** The same items; the next is made while one is in use. */
export async function* oneAhead<Item>(items: AsyncGenerator<Item>): AsyncGenerator<Item> {
  let next = items.next();
  try {
    for (let result = await next; !result.done; result = await next) {
      next = items.next();
      next.catch(() => undefined); // whoever takes it gets the error; nobody does after leaving early
      yield result.value;
    }
  } finally {
    await items.return(undefined);
  }
}
