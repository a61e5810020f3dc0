// Everything a user can import from "clip-ts/text", by what it is for.

import "./core/globals.ts";

/** Texts to ids and back. */
export { ClipTokenizer } from "./inputs/text/tokenizer.ts";
export type {
  EncodeOptions,
  TextCleaning,
  TextTokenizer,
  TokenizedTexts,
  TokenizeOptions,
  TokenizerSource,
  Truncation,
} from "./inputs/text/tokenizer.ts";
export { JsonTokenizer } from "./inputs/text/json-tokenizer.ts";
export type { SpecialTokens } from "./inputs/text/split.ts";

/** Vocabularies of one's own. */
export { trainBpe } from "./inputs/text/train-bpe.ts";
export { formatMerges, parseMerges } from "./inputs/text/merges-file.ts";

/** The cleaning that comes before, and the repair in it. */
export { cleanText, repairText } from "./inputs/text/clean.ts";
