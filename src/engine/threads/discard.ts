/**
 * Gives the memory of arrays back now; they are empty afterwards. What a session returns lies outside of V8's heap, which
 * does not see gigabytes of it as a reason to collect.
 */
export function discard(arrays: Iterable<ArrayBufferView>): void {
  const buffers = new Set(Array.from(arrays, ({ buffer }) => buffer as ArrayBuffer));
  // A message takes its buffers along, and one that nobody will get is dropped.
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(null, [...buffers]);
  port1.close();
}
