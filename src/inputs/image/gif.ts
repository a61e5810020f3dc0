/** True for a GIF whose values are palette indices; with a plain grey ramp as palette, values are grey levels. */
export function isIndexedGif(bytes: Uint8Array): boolean {
  const isGif = bytes[0] === 0x47 && bytes[1] === 0x49 && bytes[2] === 0x46;
  const flags = bytes[10] ?? 0;
  if (!isGif || (flags & 0x80) === 0) return isGif;
  const palette = bytes.subarray(13, 13 + 3 * (2 << (flags & 7)));
  return palette.some((level, i) => level !== Math.trunc(i / 3));
}
