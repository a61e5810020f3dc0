/**
 * Mojibake: UTF-8 bytes that someone read in a single-byte code page, so that "é" became "Ã©".
 *
 * Writing such a text back in that code page gives the bytes. It is done only where the text has what nobody writes, and
 * where the bytes are valid UTF-8. Steps and their order are those of ftfy 6.3.1, so that a text has the tokens that models
 * were trained with.
 *
 * @see {@link https://ftfy.readthedocs.io/ | ftfy} (Robyn Speer).
 */
import { alphabets, codePages, encode, lostByte, macintosh, readControlsAsWindows } from "./code-pages.ts";
import { isUnlikely } from "./unlikely.ts";
import { Work } from "./repair-budget.ts";

/**
 * Undoes mojibake, nested as well, and reads control characters of Latin-1 as Windows-1252. A text that could be what
 * its author wrote stays as it is.
 */
export function repairMojibake(text: string, work = new Work(text.length)): string {
  while (work.take(text.length)) {
    const repaired = undoOnce(text, work);
    if (repaired === text) break;
    text = repaired;
  }
  return text;
}

function undoOnce(text: string, work: Work): string {
  if (!/[^\0-\x7f]/.test(text) || !isUnlikely(text)) return text;
  for (const page of codePages) {
    let bytes = encode(page, text);
    if (bytes === undefined) continue;
    // In Mac OS Roman it would be an en dash with a blank behind it.
    if (page !== macintosh) bytes = restoreNoBreakSpaces(bytes);
    if (page.hasHoles) bytes = bytes.replace(incomplete, "\xef\xbf\xbd");
    const decoded = decodeUtf8(bytes);
    if (decoded !== undefined) return decoded;
  }
  const repaired = repairParts(text, work);
  return repaired === text ? readControlsAsWindows(text) : repaired;
}

/** UTF-8 with a blank where the byte 0xA0 stood, which is a no-break space and often taken for a blank. */
const blankInside =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0(?: [\x80-\xbf]{2}|[\x80-\xbf] [\x80-\xbf]|[\x80-\xbf]{2} )/g;

/** "à" is mostly a word by itself, and its blank then two in one; not in Portuguese "às", "àquele", "àquela", "àquilo". */
const wordOfOneLetter = /\xc3 (?! |quele|quela|quilo|s )/g;

function restoreNoBreakSpaces(bytes: string): string {
  return bytes
    .replace(wordOfOneLetter, "\xc3\xa0 ")
    .replace(blankInside, (sequence) => sequence.replaceAll(" ", "\xa0"));
}

/** UTF-8 and CESU-8 of which a byte is lost, or was written as a question mark. */
const incomplete = new RegExp(
  [
    "[\xc2-\xdf]_|[\xc2\xc3]\\?",
    "\xed[\xa0-\xaf][_?]\xed[\xb0-\xbf][_?\x80-\xbf]|\xed[\xa0-\xaf][_?\x80-\xbf]\xed[\xb0-\xbf][_?]",
    "[\xe0-\xef](?:[_?][_\x80-\xbf]|[_\x80-\xbf][_?])",
    "[\xf0-\xf4](?:[_?][_\x80-\xbf]{2}|[_\x80-\xbf][_?][_\x80-\xbf]|[_\x80-\xbf]{2}[_?])",
    "_",
  ]
    .join("|")
    .replaceAll("_", lostByte),
  "g",
);

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Also CESU-8, which writes a surrogate pair as two characters, and the zero of Java, which is two bytes. */
function decodeUtf8(bytes: string): string | undefined {
  const standard = bytes
    .replaceAll("\xc0\x80", "\0")
    .replace(/\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]/g, (pair) => {
      const bits = (i: number) => pair.charCodeAt(i) & 0x3f;
      const codePoint = 0x10000 + ((bits(1) & 0xf) << 16) + (bits(2) << 10) + ((bits(4) & 0xf) << 6) + bits(5);
      const tail = [codePoint >> 12, codePoint >> 6, codePoint].map((value) => 0x80 | (value & 0x3f));
      return String.fromCharCode(0xf0 | (codePoint >> 18), ...tail);
    });
  const codes = new Uint8Array(standard.length);
  for (let i = 0; i < codes.length; i++) codes[i] = standard.charCodeAt(i);
  try {
    return utf8.decode(codes);
  } catch {
    return undefined;
  }
}

/** What bytes from one to another are in any of the alphabets. */
const between = (first: number, last: number) =>
  new Set(alphabets.flatMap(({ upperHalf }) => [...upperHalf.slice(first - 128, last - 127)]));
/** The length of the UTF-8 sequence that begins with a character's byte. */
const sequenceLengths: ReadonlyMap<string, number> = new Map(
  [
    [...between(0xc2, 0xdf)].map((character) => [character, 2] as const),
    [...between(0xe0, 0xef)].map((character) => [character, 3] as const),
    [...between(0xf0, 0xf0), ...between(0xf3, 0xf3)].map((character) => [character, 4] as const),
  ].flat(),
);
const continuations = between(0x80, 0xbf).add(" ");
/** Those that do not stand beside mojibake for themselves, as punctuation does. */
const meansDamage = between(0x80, 0xbf);
for (const character of "–—―‘’‚“”„•…") meansDamage.delete(character);

/** Repairs runs of what looks like UTF-8 in a text that is sound elsewhere, or damaged in several ways. */
function repairParts(text: string, work: Work): string {
  let repaired = "";
  let done = 0;
  for (let start = 0; start < text.length;) {
    // From the midst of a run it would only grow worse.
    const end = meansDamage.has(text.charAt(start - 1)) ? start : endOfRun(text, start);
    if (end === start) {
      start++;
      continue;
    }
    const run = text.slice(start, end);
    if (run.length < text.length && isUnlikely(run)) {
      repaired += text.slice(done, start) + repairMojibake(run, work);
      done = end;
    }
    start = end;
  }
  return repaired + text.slice(done);
}

/** Where the sequences that begin at `start` end. */
function endOfRun(text: string, start: number): number {
  for (let end = start; ;) {
    const next = end + (sequenceLengths.get(text.charAt(end)) ?? 0);
    if (next === end || next > text.length) return end;
    for (let i = end + 1; i < next; i++) if (!continuations.has(text[i]!)) return end;
    end = next;
  }
}
