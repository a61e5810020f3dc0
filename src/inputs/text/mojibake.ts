/**
 * Repair of mojibake: UTF-8 that was read in a single-byte code page, so that "é" became "Ã©".
 *
 * Encoding such a text in that code page restores the bytes. This is done only if the text looks like mojibake and the
 * bytes are valid UTF-8. Steps and their order are those of ftfy 6.3.1, so that texts get the tokens that models were
 * trained with.
 *
 * @see {@link https://ftfy.readthedocs.io/ | ftfy} (Robyn Speer).
 */
import { alphabets, codePages, encode, lostByte, macintosh, readControlsAsWindows } from "./code-pages.ts";
import { looksLikeMojibake } from "./mojibake-heuristic.ts";
import { RepairBudget } from "./repair-budget.ts";

/**
 * Undoes mojibake, also nested, and reads Latin-1 control characters as Windows-1252. Leaves plausible text unchanged.
 */
export function repairMojibake(text: string, budget = new RepairBudget(text.length)): string {
  while (budget.take(text.length)) {
    const repaired = undoOnce(text, budget);
    if (repaired === text) break;
    text = repaired;
  }
  return text;
}

function undoOnce(text: string, budget: RepairBudget): string {
  if (!/[^\0-\x7f]/.test(text) || !looksLikeMojibake(text)) return text;
  for (const page of codePages) {
    let bytes = encode(page, text);
    if (bytes === undefined) continue;
    // In Mac OS Roman, 0xD0 is an en dash, which a space may follow.
    if (page !== macintosh) bytes = restoreNoBreakSpaces(bytes);
    if (page.hasHoles) bytes = bytes.replace(incomplete, "\xef\xbf\xbd");
    const decoded = decodeUtf8(bytes);
    if (decoded !== undefined) return decoded;
  }
  const repaired = repairParts(text, budget);
  return repaired === text ? readControlsAsWindows(text) : repaired;
}

/** UTF-8 with a space in place of byte 0xA0, a no-break space that programs often convert to a space. */
const blankInside =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0(?: [\x80-\xbf]{2}|[\x80-\xbf] [\x80-\xbf]|[\x80-\xbf]{2} )/g;

/** "à" is usually a whole word, whose 0xA0 and following space have merged; not in Portuguese "às", "àquele", "àquela", "àquilo". */
const wordOfOneLetter = /\xc3 (?! |quele|quela|quilo|s )/g;

function restoreNoBreakSpaces(bytes: string): string {
  return bytes
    .replace(wordOfOneLetter, "\xc3\xa0 ")
    .replace(blankInside, (sequence) => sequence.replaceAll(" ", "\xa0"));
}

/** UTF-8 and CESU-8 sequences with a lost byte, or one replaced by a question mark. */
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

/** Decodes UTF-8, CESU-8 (surrogate pairs as two characters) and Java's two-byte zero; undefined if invalid. */
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

/** Characters of a range of bytes in any of the alphabets. */
const between = (first: number, last: number) =>
  new Set(alphabets.flatMap(({ upperHalf }) => [...upperHalf.slice(first - 128, last - 127)]));
/** Length of the UTF-8 sequence that starts with a character's byte. */
const sequenceLengths: ReadonlyMap<string, number> = new Map(
  [
    [...between(0xc2, 0xdf)].map((character) => [character, 2] as const),
    [...between(0xe0, 0xef)].map((character) => [character, 3] as const),
    [...between(0xf0, 0xf0), ...between(0xf3, 0xf3)].map((character) => [character, 4] as const),
  ].flat(),
);
const continuations = between(0x80, 0xbf).add(" ");
/** Continuations without punctuation, which may stand beside mojibake undamaged. */
const meansDamage = between(0x80, 0xbf);
for (const character of "–—―‘’‚“”„•…") meansDamage.delete(character);

/** Repairs runs of misread UTF-8 in a text that is otherwise sound, or damaged in several ways. */
function repairParts(text: string, budget: RepairBudget): string {
  let repaired = "";
  let done = 0;
  for (let start = 0; start < text.length;) {
    // Starting in the middle of a run would make it worse.
    const end = meansDamage.has(text.charAt(start - 1)) ? start : endOfRun(text, start);
    if (end === start) {
      start++;
      continue;
    }
    const run = text.slice(start, end);
    if (run.length < text.length && looksLikeMojibake(run)) {
      repaired += text.slice(done, start) + repairMojibake(run, budget);
      done = end;
    }
    start = end;
  }
  return repaired + text.slice(done);
}

/** End of the consecutive sequences that begin at `start`. */
function endOfRun(text: string, start: number): number {
  for (let end = start; ;) {
    const next = end + (sequenceLengths.get(text.charAt(end)) ?? 0);
    if (next === end || next > text.length) return end;
    for (let i = end + 1; i < next; i++) if (!continuations.has(text[i]!)) return end;
    end = next;
  }
}
