/**
 * Splits a cleaned text into English contractions, words, single digits and runs of anything else; white space is
 * dropped. Since the reference ignores case, the long s counts as s after an apostrophe, and U+0345, a non-letter whose
 * capital is the letter iota, matches none of its classes.
 */
const words = /'(?:[sſtmd]|re|ve|ll)|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}\u0345]+/gu;
const wordsAndSpecialTokens = new RegExp(`<\\|startoftext\\|>|<\\|endoftext\\|>|${words.source}`, "gu");

/**
 * Treatment of literal `<|startoftext|>` and `<|endoftext|>` in a text: `"parse"` turns them into special tokens, as in
 * the reference (the text then ends at the first end of text); `"text"` treats them as ordinary text.
 */
export type SpecialTokens = "parse" | "text";

/** Splits a text from {@link cleanText} into pieces that are encoded separately. */
export function splitWords(cleaned: string, specialTokens: SpecialTokens): readonly string[] {
  return cleaned.match(specialTokens === "parse" ? wordsAndSpecialTokens : words) ?? [];
}
