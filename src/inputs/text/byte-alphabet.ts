/**
 * GPT-2's byte alphabet: ids number the printable bytes of Latin-1 first, then the rest.
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/simple_tokenizer.py`.
 */
const isPrintable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
const allBytes = Array.from({ length: 256 }, (_, byte) => byte);
const unprintable = allBytes.filter((byte) => !isPrintable(byte));

/** Id 0 … 255 → byte. */
export const byteOfId: readonly number[] = [...allBytes.filter(isPrintable), ...unprintable];

/** Id 0 … 255 → visible character for its byte in merges: the byte itself if printable, else from U+0100. */
export const characterOfId: readonly string[] = byteOfId.map((byte) =>
  String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + unprintable.indexOf(byte)),
);

/** Byte → id. */
export const idOfByte: Uint8Array = Uint8Array.from(allBytes, (byte) => byteOfId.indexOf(byte));
