/**
 * What nobody writes: pairs and triples of characters that come from UTF-8 read in a wrong code page.
 *
 * A few hundred characters make up all such damage. They fall into classes, and a table says which class is not written
 * after which.
 *
 * @see {@link https://ftfy.readthedocs.io/en/latest/heuristic.html | ftfy 6.3.1}, whose classes and rules these are
 *   (Robyn Speer).
 */

/** Characters as the inside of a regular expression's brackets. */
const classes = {
  /** Found all over; unlikely in few places. */
  common: "\xa0\xad·´–—―…’",
  control: "\x80-\x9f",
  /** Symbols that hardly anyone types. */
  stray: "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº",
  law: "¶§",
  currency: "¢£¥₧€",
  opening: "¡«¿©΄΅‘‚“„•‹\uf8ff",
  closing: "®»˝”›™",
  number: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  /** Found in faces such as (ò_ó) as well. */
  face: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  upper: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lower: "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  /** Letters of whole alphabets, which end words. */
  upperAlphabet: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerAlphabet: "α-ωάέήίΰа-џ",
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
} as const;
type Class = keyof typeof classes;

const { common, control, stray, law, currency, opening, closing, number, upper, lower, box } = classes;
const letter = upper + lower;

/** After a character of the first class none of the others is written. */
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

/** White space and the characters of words, as Python's regular expressions have them. */
const [space, word] = ["[\\p{White_Space}\\x1c-\\x1f]", "[\\p{L}\\p{N}_]"];

/** Unlikely only in their surroundings. */
const sequences: readonly string[] = [
  `[${control}]`,
  `[a-zA-Z][${classes.lowerAlphabet}${classes.upperAlphabet}][${stray}]`,
  `${space}[${upper}][${currency}]`,
  `[a-z][${upper}][${opening}${currency}]`,
  `[${letter}][${opening}${closing}]${word}`,
  `[${letter}${box}${currency}${closing}][${opening}][${number}]`,
  `[${letter}${currency}${number}${box}${law}][${closing}][${opening}]`,
];

/** What a certain code page makes of a certain alphabet or punctuation. */
const signatures: readonly string[] = [
  // Windows-1252: two bytes, and the letters of Arabic and of India.
  "[Œœ][^A-Za-z]",
  `[${upper}]°`,
  `[ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»–—´${opening}${closing}]`,
  "×[²³]",
  `(?:[ØÙ][ŸŠ®°µ»${common}${currency}${stray}${number}${opening}]){2}`,
  "à[²µ¹¼½¾]",
  // Windows-1252: "à", "á" and the no-break space, which may have become a blank.
  "Ã[\xa0¡]",
  `(?:^|[a-z]${space}?)[ÃÂ] `,
  `[a-z.,?!${closing}]Â[ ${opening}${closing}]`,
  // Mac OS Roman.
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // Windows-1251: punctuation, Cyrillic and Latin letters, and what was Latin-1 before.
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

/** Each part reads a few characters only, so that looking takes time in proportion to the text. */
const unlikely = new RegExp([...pairs, ...sequences, ...signatures].join("|"), "u");

/** Whether a text has characters side by side that nobody writes so. */
export function isUnlikely(text: string): boolean {
  return unlikely.test(text);
}
