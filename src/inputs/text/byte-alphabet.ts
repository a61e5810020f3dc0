/**
 * The bytes in the order of their ids: printable ones of Latin-1 first, then the rest.
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/simple_tokenizer.py`; the idea is of GPT-2.
 */
const isPrintable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
const allBytes = Array.from({ length: 256 }, (_, byte) => byte);
const unprintable = allBytes.filter((byte) => !isPrintable(byte));

/** Id 0 … 255 → the byte it stands for. */
export const byteOfId: readonly number[] = [...allBytes.filter(isPrintable), ...unprintable];

/** Id 0 … 255 → the visible character that stands for its byte in merges: itself if printable, else U+0100 and after. */
export const characterOfId: readonly string[] = byteOfId.map((byte) =>
  String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + unprintable.indexOf(byte)),
);

/** Byte → id. */
export const idOfByte: Uint8Array = Uint8Array.from(allBytes, (byte) => byteOfId.indexOf(byte));
