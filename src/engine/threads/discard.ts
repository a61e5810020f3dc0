/**
 * Frees the memory of arrays at once; they are empty afterwards. A session's results are outside V8's heap, so even
 * gigabytes of them do not trigger garbage collection.
 */
export function discard(arrays: Iterable<ArrayBufferView>): void {
  const buffers = new Set(Array.from(arrays, ({ buffer }) => buffer as ArrayBuffer));
  // Buffers transferred to a closed port are dropped.
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(null, [...buffers]);
  port1.close();
}
