import { cleanText } from "../../inputs/text/clean.ts";
import { splitWords } from "../../inputs/text/split.ts";

/** The words and numbers of a text as the tokenizer parts them: lower case, without punctuation. */
function wordsOf(text: string): string[] {
  return splitWords(cleanText(text), "text").filter((word) => /^[\p{L}\p{N}]/u.test(word));
}

/** All words of some captions, each once, sorted by code unit: what a model trained on them has seen. */
export function captionWords(captions: Iterable<string>): string[] {
  const words = new Set<string>();
  for (const caption of captions) for (const word of wordsOf(caption)) words.add(word);
  return [...words].sort();
}

/** The words of a text that are not among the known ones, in order, each once. */
export function unknownWords(text: string, known: ReadonlySet<string>): string[] {
  return [...new Set(wordsOf(text))].filter((word) => !known.has(word));
}
