// The door "clip-ts/text": tokenizers and their vocabularies.

import "./core/globals.ts";

/** Texts to input ids and back. */
export { ClipTokenizer } from "./inputs/text/tokenizer.ts";
export type {
  TokenOptions,
  TextCleaning,
  TextTokenizer,
  TokenizedTexts,
  TokenizeOptions,
  TokenizerSource,
  Truncation,
} from "./inputs/text/tokenizer.ts";
export { JsonTokenizer } from "./inputs/text/json-tokenizer.ts";
export type { SpecialTokens } from "./inputs/text/split.ts";

/** Vocabularies of your own. */
export { trainBpe } from "./inputs/text/train-bpe.ts";
export { formatMerges, parseMerges } from "./inputs/text/merges-file.ts";

/** Cleaning and repair of texts. */
export { cleanText, repairText } from "./inputs/text/clean.ts";
