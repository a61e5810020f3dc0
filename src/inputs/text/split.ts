/**
 * A cleaned text falls into English contractions, words, single digits and runs of anything else; white space is lost.
 * The reference ignores case, so that the long s is an s after an apostrophe, and U+0345, which is no letter but has
 * the letter iota as its capital, falls through all its classes.
 */
const words = /'(?:[sſtmd]|re|ve|ll)|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}\u0345]+/gu;
const wordsAndMarks = new RegExp(`<\\|startoftext\\|>|<\\|endoftext\\|>|${words.source}`, "gu");

/**
 * What to make of `<|startoftext|>` and `<|endoftext|>` written out in a text: `"parse"` them into the marks, as the
 * reference does (the end of the text is then where the first one stands), or take them as `"text"` like any other.
 */
export type SpecialTokens = "parse" | "text";

/** The pieces of a text from {@link cleanText} that are encoded each on its own. */
export function splitWords(cleaned: string, specialTokens: SpecialTokens): readonly string[] {
  return cleaned.match(specialTokens === "parse" ? wordsAndMarks : words) ?? [];
}
