/**
 * Mojibake: UTF-8 bytes that someone read in a single-byte code page, so that "é" became "Ã©".
 *
 * Writing such a text back in that code page gives the bytes; if they are valid UTF-8 and the text was no plausible
 * writing, the bytes are what was meant.
 */

/** Code page 437, bytes 0x80–0xFF: the one table that `TextDecoder` does not have. */
const cp437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
  "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

const upperHalf = Uint8Array.from({ length: 128 }, (_, i) => 128 + i);
const latin1 = String.fromCharCode(...upperHalf);
/** Written out, because `TextDecoder` of Node 20 reads windows-1252 as Latin-1. */
const windows1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ" + latin1.slice(32);
const decodePage = (label: string) => new TextDecoder(label).decode(upperHalf);

/** Character → byte, the most common cause first: Latin-1 and Windows-1252 in one. Holes are read as Latin-1. */
const codePages: readonly Map<string, number>[] = [
  windows1252,
  decodePage("windows-1251"),
  decodePage("windows-1250"),
  decodePage("windows-1253"),
  decodePage("windows-1254"),
  decodePage("windows-1257"),
  decodePage("iso-8859-2"),
  decodePage("macintosh"),
  cp437,
].map((page) => new Map([...page].map((character, i) => [character === "\ufffd" ? latin1[i]! : character, 128 + i])));
for (const [i, control] of [...latin1.slice(0, 32)].entries()) codePages[0]!.set(control, 128 + i);

/** One character of two to four bytes in valid UTF-8 (RFC 3629, section 4), a code unit standing for a byte. */
const multiByte =
  /[\xc2-\xdf][\x80-\xbf]|(?:\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f])[\x80-\xbf]|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}/g;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const decodeUtf8 = (bytes: string) => decoder.decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));

/** Mojibake of mojibake of mojibake; deeper nesting is not met, and each round reads the whole text. */
const maxRounds = 6;

/**
 * Undoes mojibake, nested as well, and reads stray control characters of Latin-1 as Windows-1252.
 * A text that could be what its author wrote stays as it is.
 */
export function repairMojibake(text: string): string {
  for (let round = 0; round < maxRounds; round++) {
    const repaired = repairWhole(text) ?? repairParts(text);
    if (repaired === text) break;
    text = repaired;
  }
  return text.replace(/[\x80-\x9f]/g, (control) => windows1252[control.charCodeAt(0) - 128]!);
}

/** The text whose UTF-8, read in one of the code pages, is all of `text`. */
function repairWhole(text: string): string | undefined {
  for (const page of codePages) {
    const bytes = encodeBytes(text, page);
    if (bytes === undefined || /[\x80-\xff]/.test(bytes.replace(multiByte, ""))) continue;
    const isMojibake = [...bytes.matchAll(multiByte)].some(({ index: start, 0: { length } }) => {
      return isUnlikely(text, start, start + length) || isOutOfPlace(text, start, start + length);
    });
    if (!isMojibake) continue;
    const decoded = decodeUtf8(bytes);
    if (control.test(text) || !control.test(decoded)) return decoded;
  }
  return undefined;
}

/**
 * Repairs the sequences that are no plausible writing, in a text that is sound elsewhere. A combining accent by
 * itself is more often chance than meant.
 */
function repairParts(text: string): string {
  const bytes = encodeBytes(text, codePages[0]!, "?")!;
  let repaired = "";
  let done = 0;
  for (const { index, 0: sequence } of bytes.matchAll(multiByte)) {
    const end = index + sequence.length;
    const decoded = decodeUtf8(sequence);
    if (/[\u0300-\u036f]/.test(decoded) || !isUnlikely(text, index, end)) continue;
    repaired += text.slice(done, index) + decoded;
    done = end;
  }
  return repaired + text.slice(done);
}

/** `text` in a code page, a code unit per byte; for what the page lacks the substitute, or without one no answer. */
function encodeBytes(text: string, page: ReadonlyMap<string, number>, substitute?: string): string | undefined {
  const bytes: string[] = [];
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i) < 0x80 ? text.charCodeAt(i) : page.get(text[i]!);
    if (byte === undefined && substitute === undefined) return undefined;
    bytes.push(byte === undefined ? substitute! : String.fromCharCode(byte));
  }
  return bytes.join("");
}

const control = /[\x80-\x9f]/;
/** What stands for nearly every accented Latin letter, or for quotes, and is no part of any word. */
const telltale = /^(?:Â|Ã[ŠŒŽšœžŸ–—‹“]|‚Ä)/;
const isUpper = (character: string) => /\p{Lu}/u.test(character);
const isLower = (character: string) => /\p{Ll}/u.test(character) && character !== "ƒ";
const isLetter = (character: string) => isUpper(character) || isLower(character);
const isGreek = (character: string) => /\p{Script=Greek}/u.test(character);
/** Symbols that writing has right after a letter, before one, and in the midst of a word. */
const isClosing = (character: string) => /[\xa0\xad’”…–—»›™®©“‘«‹]/.test(character);
const isOpening = (character: string) => /[\xa0’‘“”„‚«»‹›–—…¡¿]/.test(character);
const isInner = (character: string) => /[’–—\xa0\xad]/.test(character);

/** Whether nobody writes the characters from `start` to `end`, which are one character of UTF-8 in a code page. */
function isUnlikely(text: string, start: number, end: number): boolean {
  const sequence = text.slice(start, end);
  if (control.test(sequence) || telltale.test(sequence)) return true;
  // Few words end in Ã, and those in capitals: AMANHÃ.
  if (sequence.startsWith("Ã") && !isUpper(text.charAt(start - 1))) return true;
  for (let i = start + 1; i < end; i++) if (isUnlikelyPair(text[i - 1]!, text[i]!)) return true;
  return false;
}

/** Whether they are unlikely only where they stand: a capital, or a symbol, amid a word. */
function isOutOfPlace(text: string, start: number, end: number): boolean {
  const [first, last] = [text[start]!, text[end - 1]!];
  if (isLower(text.charAt(start - 1)) && isUpper(first)) return true;
  return isLetter(first) && !isLetter(last) && !isInner(last) && isLetter(text.charAt(end));
}

function isUnlikelyPair(left: string, right: string): boolean {
  if (isLetter(left) && isLetter(right)) return (isLower(left) && isUpper(right)) || isGreek(left) !== isGreek(right);
  if (isLetter(left)) return !isClosing(right);
  if (/[×÷]/.test(left)) return !isClosing(right);
  return !isOpening(left) || !(isLetter(right) || isOpening(right) || isClosing(right));
}
