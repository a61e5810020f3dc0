import { JsonTokenizer } from "./json-tokenizer.ts";
import { ClipTokenizer, type TextTokenizer, type TokenizerSource } from "./tokenizer.ts";

/**
 * Makes the tokenizer of a source.
 *
 * @throws {ClipError} `CLIP_TEXT` as {@link ClipTokenizer} and {@link JsonTokenizer} do.
 */
export function makeTokenizer(source: TokenizerSource): TextTokenizer {
  return source.kind === "merges"
    ? new ClipTokenizer(source.merges)
    : new JsonTokenizer(source.json, source.config, source.cleaning);
}
