import { checkKind, text as textKind } from "../../core/options.ts";
import { readControlsAsWindows } from "./code-pages.ts";
import { decodeHtmlEntities, decodeTerminatedEntities } from "./html-entities.ts";
import { repairMojibake } from "./mojibake.ts";
import { Work } from "./repair-budget.ts";

/** ASCII text that none of the repairs would change. */
const plain = /^[\t\n\f\r\x20-\x25\x27-\x7e]*$/;

/**
 * What the CLIP tokenizer makes of a text before it splits it: damage repaired, HTML references decoded, white space
 * collapsed to single blanks, lower case.
 *
 * Agrees with OpenAI's `SimpleTokenizer`, which calls `ftfy.fix_text`, `html.unescape` twice, `strip` and `lower`.
 */
export function cleanText(text: string): string {
  checkKind("cleanText: the text", text, textKind);
  if (!plain.test(text)) text = decodeHtmlEntities(decodeHtmlEntities(repairText(text)));
  return collapseWhiteSpace(text).toLowerCase();
}

/** Captions have single blanks already; looking is faster than replacing them by themselves. */
const irregularSpace = /^ | $| {2}|[^\P{White_Space} ]/u;

function collapseWhiteSpace(text: string): string {
  return irregularSpace.test(text) ? text.replace(/\p{White_Space}+/gu, " ").replace(/^ | $/g, "") : text;
}

/** Longer lines are repaired a part at a time. */
const maxSegment = 1_000_000;

/**
 * Repairs what goes wrong with text on its way through programs: HTML references where no tag shows that the text is
 * HTML, mojibake, ligatures, full- and half-width forms, curly quotes, line ends, lone surrogates, terminal colours,
 * control characters, and combining characters that are not composed (NFC). Works line by line.
 *
 * Agrees with `ftfy.fix_text` of ftfy 6.3.1. Time and memory are in proportion to the text: of references in references, a
 * long text of hundreds of levels keeps some.
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

/** Lines with their ends. */
function* segments(text: string): Generator<string> {
  for (let start = 0; start < text.length;) {
    const lineEnd = text.indexOf("\n", start) + 1 || text.length;
    let end = Math.min(lineEnd, start + maxSegment);
    if (end < lineEnd && /[\ud800-\udbff]/.test(text[end - 1]!)) end++;
    yield text.slice(start, end);
    start = end;
  }
}

/** One repair undoes what hides the next, such as references of references and mojibake in references. */
function repairSegment(text: string, isHtml: boolean): string {
  const work = new Work(text.length);
  while (work.take(text.length)) {
    const before = text;
    if (!isHtml) text = decodeTerminatedEntities(text);
    text = readControlsAsWindows(repairMojibake(text, work));
    text = repairs.reduce((repaired, repair) => repair(repaired), text);
    if (text === before) break;
  }
  return text;
}

const repairs: readonly ((text: string) => string)[] = [
  // NFKC would make a round s of the long one in U+FB05.
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

/** Far more than any writing has; putting marks into their order takes time in the square of them. */
const maxMarks = 1024;
const manyMarks = new RegExp(`\\p{M}{${maxMarks}}`, "u");
const marksInParts = new RegExp(`\\P{M}+\\p{M}{0,${maxMarks}}|\\p{M}{1,${maxMarks}}`, "gu");

/** In NFC. */
function composed(text: string): string {
  return manyMarks.test(text) ? text.replace(marksInParts, (part) => part.normalize("NFC")) : text.normalize("NFC");
}
