import { checkKind, text as textKind } from "../../core/options.ts";
import { readControlsAsWindows } from "./code-pages.ts";
import { decodeHtmlEntities, decodeTerminatedEntities } from "./html-entities.ts";
import { repairMojibake } from "./mojibake.ts";
import { RepairBudget } from "./repair-budget.ts";

/** ASCII text that no repair would change. */
const plain = /^[\t\n\f\r\x20-\x25\x27-\x7e]*$/;

/**
 * Cleans a text for CLIP's tokenizer: repairs damage, decodes HTML references, collapses white space to single spaces,
 * and converts to lower case.
 *
 * Equals OpenAI's `SimpleTokenizer`, which calls `ftfy.fix_text`, `html.unescape` twice, `strip` and `lower`.
 */
export function cleanText(text: string): string {
  checkKind("cleanText: the text", text, textKind);
  if (!plain.test(text)) text = decodeHtmlEntities(decodeHtmlEntities(repairText(text)));
  return collapseWhiteSpace(text).toLowerCase();
}

/** Most captions have single spaces; testing is faster than replacing. */
const irregularSpace = /^ | $| {2}|[^\P{White_Space} ]/u;

function collapseWhiteSpace(text: string): string {
  return irregularSpace.test(text) ? text.replace(/\p{White_Space}+/gu, " ").replace(/^ | $/g, "") : text;
}

/** Longer lines are repaired in parts. */
const maxSegment = 1_000_000;

/**
 * Repairs common damage to text, line by line: HTML references (unless a tag shows that the text is HTML), mojibake,
 * ligatures, full- and half-width forms, curly quotes, line ends, lone surrogates, terminal colours, control
 * characters, and combining characters that are not composed (NFC).
 *
 * Equals `ftfy.fix_text` of ftfy 6.3.1. Time and memory are linear in the text: a long text with hundreds of levels of
 * nested references keeps some of them.
 */
export function repairText(text: string): string {
  checkKind("repairText: the text", text, textKind);
  let isHtml = false;
  let repaired = "";
  for (const segment of segments(text)) {
    isHtml ||= segment.includes("<");
    repaired += repairSegment(segment, isHtml);
  }
  return repaired;
}

/** Lines with their ends; long ones in parts. */
function* segments(text: string): Generator<string> {
  for (let start = 0; start < text.length;) {
    const lineEnd = text.indexOf("\n", start) + 1 || text.length;
    let end = Math.min(lineEnd, start + maxSegment);
    if (end < lineEnd && /[\ud800-\udbff]/.test(text[end - 1]!)) end++;
    yield text.slice(start, end);
    start = end;
  }
}

/** Repeats all repairs until nothing changes, since damage may be nested, such as mojibake in references. */
function repairSegment(text: string, isHtml: boolean): string {
  const budget = new RepairBudget(text.length);
  while (budget.take(text.length)) {
    const before = text;
    if (!isHtml) text = decodeTerminatedEntities(text);
    text = readControlsAsWindows(repairMojibake(text, budget));
    text = repairs.reduce((repaired, repair) => repair(repaired), text);
    if (text === before) break;
  }
  return text;
}

const repairs: readonly ((text: string) => string)[] = [
  // NFKC would turn the long s in U+FB05 into a round one.
  (text) =>
    text.replace(/ﬅ/g, "ſt").replace(/[Ĳĳŉ\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, (c) => c.normalize("NFKC")),
  (text) => text.replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize("NFKC")),
  (text) => text.replace(/[ʼ‘’‚‛]/g, "'").replace(/[“”„‟]/g, '"'),
  (text) => text.replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n"),
  (text) => text.replace(/\p{Surrogate}/gu, "\ufffd"),
  (text) => text.replace(/\x1b\[[\p{Nd};]*[A-Za-z]/gu, ""),
  (text) => text.replace(/[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, ""),
  composed,
];

/** Far more combining marks than any script uses; sorting them takes quadratic time. */
const maxMarks = 1024;
const manyMarks = new RegExp(`\\p{M}{${maxMarks}}`, "u");
const marksInParts = new RegExp(`\\P{M}+\\p{M}{0,${maxMarks}}|\\p{M}{1,${maxMarks}}`, "gu");

/** Normalizes to NFC. */
function composed(text: string): string {
  return manyMarks.test(text) ? text.replace(marksInParts, (part) => part.normalize("NFC")) : text.normalize("NFC");
}
