import { z } from "zod";
import { ClipError } from "../../core/errors.ts";
import { hasNestedQuantifiers } from "./nested-quantifiers.ts";

/** More than twice the largest published vocabulary. */
const maxVocabulary = 2_000_000;

/** Steps in a sequence; published files have a few, and each scans the whole text. */
const maxSteps = 256;

/** Bounded, since it may replace every space of the encoded text. */
const text = z.string().max(1000).nullish();
const count = z.int().min(0).max(1_000_000).nullish();
const id = z
  .int()
  .min(0)
  .max(maxVocabulary - 1);
const specialToken = z.tuple([z.string(), id]).optional();
const template = z
  .array(z.record(z.string(), z.looseObject({ id: z.string() })))
  .max(maxSteps)
  .nullish();

const regularExpression = z
  .string()
  .max(10_000)
  .refine((pattern) => !hasNestedQuantifiers(pattern), "is a regular expression that may run forever");

/** A tokenizer's step of any kind, with the fields that the library uses unchecked. */
const step = z
  .looseObject({
    type: z.string(),
    ...{ content: text, replacement: text, prepend: text, prefix: text, suffix: text, str_rep: text, behavior: text },
    ...{
      pad_token: text,
      unk_token: text,
      word_delimiter_token: text,
      prepend_scheme: text,
      precompiled_charsmap: z.string().nullish(),
    },
    ...{ start: count, stop: count, length: z.int().min(1).max(1_000_000).optional() },
    ...{ cls: specialToken, sep: specialToken, single: template, pair: template },
    special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(id), tokens: z.array(z.string()) })).optional(),
    pattern: z.union([z.looseObject({ Regex: regularExpression }), z.looseObject({ String: z.string() })]).optional(),
    get normalizers() {
      return steps;
    },
    get pretokenizers() {
      return steps;
    },
    get processors() {
      return steps;
    },
    get decoders() {
      return steps;
    },
  })
  // Without a pattern, the library only warns and skips the step, which changes the ids.
  .refine(({ type, pattern }) => pattern || !/^(Replace|Split)$/.test(type), "has no pattern");
const steps: z.ZodOptional<z.ZodArray<z.ZodType>> = z
  .array(z.lazy(() => step))
  .max(maxSteps)
  .optional();

const tokenizerSchema = z.looseObject({
  normalizer: step.nullish(),
  pre_tokenizer: step.nullish(),
  post_processor: step.nullish(),
  decoder: step.nullish(),
  added_tokens: z.array(z.looseObject({ id, content: z.string().min(1).max(1000) })).optional(),
  model: z.looseObject({
    ...{ type: text, unk_token: text, continuing_subword_prefix: text, continuing_subword_suffix: text },
    ...{ end_of_word_suffix: text, unk_id: id.nullish(), max_input_chars_per_word: count },
  }),
});

/**
 * Refuses a `tokenizer.json` that would make the library hang or exhaust memory.
 *
 * @throws {ClipError} `CLIP_TEXT` with the path of the bad value.
 */
export function checkTokenizer(json: object): void {
  const refuse = (place: string, problem: string) =>
    new ClipError("CLIP_TEXT", `the tokenizer cannot be read: ${place}: ${problem}`);
  const parsed = tokenizerSchema.safeParse(json);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues as [z.core.$ZodIssue];
    throw refuse(path.join("."), message);
  }
  // Hundreds of thousands of entries are checked by hand, since a schema takes seconds.
  const { vocab, merges = [] } = parsed.data.model as { readonly vocab?: unknown; readonly merges?: unknown };
  if (typeof vocab !== "object" || vocab === null) throw refuse("model.vocab", "is missing");
  const entries: unknown[] = Array.isArray(vocab) ? vocab : Object.values(vocab);
  if (entries.length > maxVocabulary) throw refuse("model.vocab", `has more than ${maxVocabulary} tokens`);
  const wrong = Array.isArray(vocab)
    ? entries.findIndex((entry) => !isScored(entry))
    : entries.findIndex((entry) => !isId(entry));
  if (wrong >= 0) {
    const token = (Array.isArray(vocab) ? String(wrong) : Object.keys(vocab)[wrong]!).slice(0, 60);
    throw refuse(`model.vocab.${token}`, `must be a token's id or a token with its score`);
  }
  if (!Array.isArray(merges) || merges.length > maxVocabulary) throw refuse("model.merges", "must be a list of merges");
  const badMerge = merges.findIndex((merge) => typeof merge !== "string" && !isPair(merge));
  if (badMerge >= 0) throw refuse(`model.merges.${badMerge}`, "must be two tokens");
}

const isScored = (entry: unknown) =>
  Array.isArray(entry) && entry.length === 2 && typeof entry[0] === "string" && Number.isFinite(entry[1]);

const isPair = (merge: unknown) =>
  Array.isArray(merge) && merge.length === 2 && merge.every((token) => typeof token === "string");

const isId = (entry: unknown) => Number.isInteger(entry) && (entry as number) >= 0 && (entry as number) < maxVocabulary;
