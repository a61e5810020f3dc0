import { checkKind, text as textKind } from "../core/options.ts";
import { decodeHtmlEntities } from "./html-entities.ts";
import { repairMojibake } from "./mojibake.ts";

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

/** One repair undoes what hides the next: references of references, mojibake in references. */
const maxRounds = 8;

/**
 * Repairs what goes wrong with text on its way through programs: HTML references where no tag shows that the text is
 * HTML, mojibake, terminal colours, ligatures, full- and half-width forms, curly quotes, line ends, lone surrogates,
 * control characters, and combining characters that are not composed (NFC). Works line by line.
 */
export function repairText(text: string): string {
  checkKind("repairText: the text", text, textKind);
  let isHtml = false;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      isHtml ||= line.includes("<");
      for (let round = 0; round < maxRounds; round++) {
        const before = line;
        if (!isHtml) line = decodeTerminatedEntities(line);
        line = repairs.reduce((repaired, repair) => repair(repaired), line);
        if (line === before) break;
      }
      return line;
    })
    .join("");
}

/** References with a semicolon; names in capitals (`&EACUTE;`) mean the capital letter. */
function decodeTerminatedEntities(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (entity) => {
    const decoded = decodeHtmlEntities(entity);
    if (!decoded.endsWith(";") || decoded === ";") return decoded;
    if (entity !== entity.toUpperCase()) return entity;
    const lower = decodeHtmlEntities(entity.toLowerCase());
    return lower.endsWith(";") ? entity : lower.toUpperCase();
  });
}

const repairs: readonly ((text: string) => string)[] = [
  repairMojibake,
  (text) => text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, ""),
  // NFKC would make a round s of the long one in U+FB05.
  (text) =>
    text.replace(/ﬅ/g, "ſt").replace(/[Ĳĳŉ\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, (c) => c.normalize("NFKC")),
  (text) => text.replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize("NFKC")),
  (text) => text.replace(/[ʼ‘’‚‛]/g, "'").replace(/[“”„‟]/g, '"'),
  (text) => text.replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n"),
  (text) => text.replace(/\p{Surrogate}/gu, "\ufffd"),
  (text) => text.replace(/[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, ""),
  (text) => text.normalize("NFC"),
];
