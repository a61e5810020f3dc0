import "../core/globals.ts";

/** Texts to ids and back. */
export { ClipTokenizer } from "./tokenizer.ts";
export type {
  EncodeOptions,
  TextCleaning,
  TextTokenizer,
  TokenizedTexts,
  TokenizeOptions,
  TokenizerSource,
  Truncation,
} from "./tokenizer.ts";
export { JsonTokenizer } from "./json-tokenizer.ts";
export type { SpecialTokens } from "./split.ts";

/** Vocabularies of one's own. */
export { trainBpe } from "./train-bpe.ts";
export { formatMerges, parseMerges } from "./merges-file.ts";

/** The cleaning that comes before, and the repair in it. */
export { cleanText, repairText } from "./clean.ts";
