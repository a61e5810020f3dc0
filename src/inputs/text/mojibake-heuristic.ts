/**
 * Detects mojibake: sequences of two or three characters that arise when UTF-8 is read in a wrong code page, and that
 * nobody writes.
 *
 * A few hundred characters make up such damage. They are grouped in classes, and a table lists the classes that do not
 * follow each other.
 *
 * @see {@link https://ftfy.readthedocs.io/en/latest/heuristic.html | ftfy 6.3.1}, whose classes and rules these are
 *   (Robyn Speer).
 */

/** Character classes, as the inside of a regular expression's brackets. */
const classes = {
  /** Common everywhere; suspicious in few places. */
  common: "\xa0\xad·´–—―…’",
  control: "\x80-\x9f",
  /** Rarely typed symbols. */
  stray: "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº",
  law: "¶§",
  currency: "¢£¥₧€",
  opening: "¡«¿©΄΅‘‚“„•‹\uf8ff",
  closing: "®»˝”›™",
  number: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  /** Also used in emoticons such as (ò_ó). */
  face: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  upper: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lower: "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  /** Greek and Cyrillic letters. */
  upperAlphabet: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerAlphabet: "α-ωάέήίΰа-џ",
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
} as const;
type Class = keyof typeof classes;

const { common, control, stray, law, currency, opening, closing, number, upper, lower, box } = classes;
const letter = upper + lower;

/** Classes that never follow a character of the given class. */
const neverFollowedBy: Readonly<Partial<Record<Class, readonly Class[]>>> = {
  stray: ["stray", "lower", "upper", "box", "opening", "closing", "currency", "number", "law"],
  lower: ["stray", "upper", "currency", "box"],
  upper: ["stray", "number", "law", "box"],
  lowerAlphabet: ["upper"],
  opening: ["stray", "box"],
  closing: ["stray", "lower", "upper", "currency", "box"],
  currency: ["stray", "lower", "upper", "opening", "box"],
  number: ["stray", "lower", "upper", "opening", "box"],
  law: ["stray", "box"],
  box: ["stray", "lower", "upper", "currency", "number", "law", "opening", "closing", "face"],
};

/** Python's `\s` and `\w`. */
const [space, word] = ["[\\p{White_Space}\\x1c-\\x1f]", "[\\p{L}\\p{N}_]"];

/** Sequences that are suspicious only in context. */
const sequences: readonly string[] = [
  `[${control}]`,
  `[a-zA-Z][${classes.lowerAlphabet}${classes.upperAlphabet}][${stray}]`,
  `${space}[${upper}][${currency}]`,
  `[a-z][${upper}][${opening}${currency}]`,
  `[${letter}][${opening}${closing}]${word}`,
  `[${letter}${box}${currency}${closing}][${opening}][${number}]`,
  `[${letter}${currency}${number}${box}${law}][${closing}][${opening}]`,
];

/** Traces of a certain alphabet or punctuation in a certain code page. */
const signatures: readonly string[] = [
  // Windows-1252: two-byte characters, and Arabic and Indic letters.
  "[Œœ][^A-Za-z]",
  `[${upper}]°`,
  `[ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»–—´${opening}${closing}]`,
  "×[²³]",
  `(?:[ØÙ][ŸŠ®°µ»${common}${currency}${stray}${number}${opening}]){2}`,
  "à[²µ¹¼½¾]",
  // Windows-1252: "à", "á" and the no-break space, which may have become a space.
  "Ã[\xa0¡]",
  `(?:^|[a-z]${space}?)[ÃÂ] `,
  `[a-z.,?!${closing}]Â[ ${opening}${closing}]`,
  // Mac OS Roman.
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // Windows-1251: punctuation, Cyrillic and Latin letters, and text damaged by Latin-1 before.
  "вЂ",
  `[ВГРС][°µ${control}${stray}${opening}${closing}${currency}][ВГРС]`,
  "ГўВЂВ[^\\n][A-Za-z ]",
  // Windows-1253: punctuation, Greek and Latin letters.
  "β€[™\xa0Ά\xad®°]",
  `[ΒΓΞΟ][°${control}${stray}${opening}${closing}${currency}][ΒΓΞΟ]`,
  // Windows-1257: punctuation.
  "ā€",
];

const pairs = Object.entries(neverFollowedBy).map(
  ([left, right]) => `[${classes[left as Class]}][${right.map((name) => classes[name]).join("")}]`,
);

/** Alternatives match a few characters each, so matching takes linear time. */
const mojibake = new RegExp([...pairs, ...sequences, ...signatures].join("|"), "u");

/** True if a text contains a sequence of characters typical of mojibake. */
export function looksLikeMojibake(text: string): boolean {
  return mojibake.test(text);
}
