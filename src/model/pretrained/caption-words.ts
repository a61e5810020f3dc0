import { cleanText } from "../../inputs/text/clean.ts";
import { splitWords } from "../../inputs/text/split.ts";

/** Words and numbers of a text as the tokenizer splits them: lower case, without punctuation. */
function wordsOf(text: string): string[] {
  return splitWords(cleanText(text), "text").filter((word) => /^[\p{L}\p{N}]/u.test(word));
}

/** Distinct words of captions, sorted by code unit: those that a model trained on them knows. */
export function captionWords(captions: Iterable<string>): string[] {
  const words = new Set<string>();
  for (const caption of captions) for (const word of wordsOf(caption)) words.add(word);
  return [...words].sort();
}

/** Distinct words of a text that are not in `known`, in order. */
export function unknownWords(text: string, known: ReadonlySet<string>): string[] {
  return [...new Set(wordsOf(text))].filter((word) => !known.has(word));
}
