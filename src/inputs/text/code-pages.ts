/**
 * A single-byte code page in which UTF-8 may have been misread. Bytes are code units of a string, so that regular
 * expressions work on them.
 */
export interface CodePage {
  /** Characters of the bytes 0x80 to 0xFF. */
  readonly upperHalf: string;
  /** True if some bytes are undefined; U+FFFD may then replace a byte lost by a strict reader. */
  readonly hasHoles: boolean;
  /** Bytes of the characters whose code is not their byte. */
  readonly bytes: ReadonlyMap<string, string>;
  /** Matches the keys of `bytes`. */
  readonly foreign: RegExp;
  /** Matches a character that the page lacks. */
  readonly missing: RegExp;
}

/** Placeholder for a lost byte. A text that contains it cannot be encoded in a page with holes. */
export const lostByte = "\x1a";

const codes = Uint8Array.from({ length: 128 }, (_, i) => 128 + i);
const latin1 = String.fromCharCode(...codes);

function codePage(upperHalf: string, hasHoles = false): CodePage {
  const bytes = new Map([...upperHalf].map((character, i) => [character, latin1[i]!]));
  if (hasHoles) bytes.set("\ufffd", lostByte);
  const all = [...bytes.keys()].join("");
  for (const byte of latin1) if (bytes.get(byte) === byte) bytes.delete(byte);
  const foreign = new RegExp(`[${[...bytes.keys()].join("")}]`, "g");
  const missing = new RegExp(`[^\\0-\\x7f${all}]${hasHoles ? `|${lostByte}` : ""}`);
  return { upperHalf, hasHoles, bytes, foreign, missing };
}

/** A Windows page, with undefined bytes read as Latin-1, as in most programs. */
function windows(upperHalf: string): CodePage {
  return codePage(
    upperHalf.replaceAll("\ufffd", (_, i: number) => latin1[i]!),
    true,
  );
}

const decode = (label: string) => new TextDecoder(label).decode(codes);

/** Written out because Node 20's `TextDecoder` reads windows-1252 as Latin-1. */
const windows1252 = windows("€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ" + latin1.slice(32));

/** Pages whose letters have the same bytes as Latin-1's letters. */
export const alphabets: readonly CodePage[] = [
  codePage(latin1),
  windows1252,
  ...[1251, 1250, 1253, 1254, 1257].map((number) => windows(decode(`windows-${number}`))),
];

export const macintosh = codePage(decode("macintosh"));

/** Code page 437, which `TextDecoder` lacks. */
const cp437 = codePage(
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0",
);

/** All pages, the most common cause first. */
export const codePages: readonly CodePage[] = [...alphabets, codePage(decode("iso-8859-2")), macintosh, cp437];

/** Bytes of a text in a page; undefined if the page lacks a character. */
export function encode({ bytes, foreign, missing }: CodePage, text: string): string | undefined {
  return missing.test(text) ? undefined : text.replace(foreign, (character) => bytes.get(character)!);
}

/** Replaces Latin-1 control characters with those of Windows-1252, as browsers do. */
export function readControlsAsWindows(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => windows1252.upperHalf[control.charCodeAt(0) - 128]!);
}
