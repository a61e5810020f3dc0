import { Random } from "../src/core/random.ts";

/** A copy with a few bytes changed, runs of them doubled or left out, or its end missing. */
export function damage(whole: Uint8Array, seed: number): Uint8Array {
  const random = new Random(seed);
  let bytes = Buffer.from(whole);
  for (let count = 1 + random.integer(8); count > 0; count--) {
    const at = random.integer(bytes.length);
    const length = 1 + random.integer(16);
    const kind = random.integer(8);
    if (kind === 0) bytes = bytes.subarray(0, at + 1);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    else bytes[at] = random.integer(256);
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}
