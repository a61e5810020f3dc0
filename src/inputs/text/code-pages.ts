/**
 * A single-byte code page in which UTF-8 is misread. A byte is a code unit of a string here, so that regular expressions
 * work on bytes.
 */
export interface CodePage {
  /** The characters of the bytes 0x80 to 0xFF. */
  readonly upperHalf: string;
  /** Whether the page leaves bytes undefined: U+FFFD may then stand for a byte that a strict reader has lost. */
  readonly hasHoles: boolean;
  /** Of every character that is not its own byte. */
  readonly bytes: ReadonlyMap<string, string>;
  /** Finds these. */
  readonly foreign: RegExp;
  /** Finds a character that the page does not have. */
  readonly missing: RegExp;
}

/** What stands for a lost byte; no text that is read in a page with holes has it as a character of its own. */
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

/** Bytes that Windows leaves undefined are read as Latin-1, as most programs do. */
function windows(upperHalf: string): CodePage {
  return codePage(
    upperHalf.replaceAll("\ufffd", (_, i: number) => latin1[i]!),
    true,
  );
}

const decode = (label: string) => new TextDecoder(label).decode(codes);

/** Written out, because `TextDecoder` of Node 20 reads windows-1252 as Latin-1. */
const windows1252 = windows("€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ" + latin1.slice(32));

/** The pages whose letters have the bytes of Latin-1's letters. */
export const alphabets: readonly CodePage[] = [
  codePage(latin1),
  windows1252,
  ...[1251, 1250, 1253, 1254, 1257].map((number) => windows(decode(`windows-${number}`))),
];

export const macintosh = codePage(decode("macintosh"));

/** Code page 437, which `TextDecoder` does not have. */
const cp437 = codePage(
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0",
);

/** All pages, the most common cause first. */
export const codePages: readonly CodePage[] = [...alphabets, codePage(decode("iso-8859-2")), macintosh, cp437];

/** The bytes of a text in a page, or nothing where the page lacks a character. */
export function encode({ bytes, foreign, missing }: CodePage, text: string): string | undefined {
  return missing.test(text) ? undefined : text.replace(foreign, (character) => bytes.get(character)!);
}

/** Control characters of Latin-1 as what Windows-1252 has in their place, which browsers do too. */
export function readControlsAsWindows(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => windows1252.upperHalf[control.charCodeAt(0) - 128]!);
}
