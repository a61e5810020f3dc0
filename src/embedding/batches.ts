/** Items as groups of `size`, the last perhaps smaller; at most one group is held. `signal` stops between groups. */
export async function* batches<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Item[]> {
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
