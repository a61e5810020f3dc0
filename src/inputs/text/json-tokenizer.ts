import * as library from "@huggingface/tokenizers";
import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, listOf, oneOf, record, text as textKind } from "../../core/options.ts";
import { withTimeLimit } from "../../core/time-limit.ts";
import { checkTokenizer } from "./check-tokenizer.ts";
import {
  type TextCleaning,
  type TextTokenizer,
  type TokenizerSource,
  type TokenizedTexts,
  tokenizeKinds,
  type TokenizeOptions,
  tooLong,
  type Truncation,
} from "./tokenizer.ts";

/** Declared here because the library's types do not resolve: they import each other without extensions. */
interface Tokenizer {
  encode(text: string): { readonly ids: number[] };
  decode(ids: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
  get_vocab(withAddedTokens: boolean): ReadonlyMap<string, number>;
}

const { Tokenizer } = library as unknown as { Tokenizer: new (json: object, config: object) => Tokenizer };

/** Longer results mean a damaged tokenizer. */
const maxTokens = 10_000_000;

/** A batch of texts takes milliseconds; regular expressions of a damaged file may run forever. */
const textsAtOnce = 64;
const limitMs = 10_000;

/** Turns arbitrary errors into `CLIP_TEXT`: the library does not validate its files. */
function contained<Result>(problem: string, work: () => Result): Result {
  try {
    return withTimeLimit(limitMs, work);
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    if ((cause as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") {
      const why = `its steps took more than ${limitMs / 1000} s`;
      throw new ClipError("CLIP_TEXT", `the tokenizer ${problem}: ${why}; is it the right file?`, { cause });
    }
    throw new ClipError("CLIP_TEXT", `the tokenizer ${problem}: ${(cause as Error).message}`, { cause });
  }
}

/** Python's `string.punctuation`. */
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/gu;

/**
 * Normalizes text as in SigLIP's training: `_` becomes a space, punctuation is dropped, letters are lower case, spaces
 * single (`canonicalize_text` in big_vision and open_clip).
 */
export function canonicalizeText(text: string): string {
  return text.replaceAll("_", " ").replaceAll(punctuation, "").toLowerCase().replaceAll(/\s+/gu, " ").trim();
}

const cleanings: Readonly<Record<TextCleaning, (text: string) => string>> = {
  canonicalize: canonicalizeText,
  lower: (text) => text.toLowerCase(),
  none: (text) => text,
};

/**
 * A tokenizer from a Hugging Face `tokenizer.json`, which covers SentencePiece vocabularies such as SigLIP's.
 */
export class JsonTokenizer implements TextTokenizer {
  readonly source: TokenizerSource;
  readonly vocabSize: number;
  readonly padId: number;
  readonly #tokenizer: Tokenizer;
  readonly #clean: (text: string) => string;

  /**
   * The library runs the file's regular expressions on this thread. Those with nested quantifiers are refused; in Node,
   * work that takes more than 10 seconds for 64 texts is interrupted, but not in a page.
   *
   * @param json - content of `tokenizer.json`.
   * @param config - content of `tokenizer_config.json`.
   * @throws {ClipError} `CLIP_TEXT` if they do not describe a tokenizer, or have no padding token.
   */
  constructor(json: object, config: object, cleaning: TextCleaning) {
    checkKind("JsonTokenizer: tokenizer.json", json, record);
    checkKind("JsonTokenizer: tokenizer_config.json", config, record);
    checkKind("JsonTokenizer: the cleaning", cleaning, oneOf(...Object.keys(cleanings)));
    this.source = { kind: "json", json, config, cleaning };
    this.#clean = cleanings[cleaning];
    checkTokenizer(json);
    this.#tokenizer = contained("cannot be read", () => new Tokenizer(json, config));
    const vocabulary = contained("has no vocabulary", () => [...this.#tokenizer.get_vocab(true)]);
    this.vocabSize = 0;
    for (const [, id] of vocabulary) this.vocabSize = Math.max(this.vocabSize, id + 1);
    const named = (config as { pad_token?: unknown }).pad_token;
    const pad = typeof named === "object" && named !== null && "content" in named ? named.content : named;
    const id = vocabulary.find(([token]) => token === pad)?.[1];
    if (id === undefined)
      throw new ClipError(
        "CLIP_TEXT",
        `the tokenizer's config needs a pad_token from its vocabulary, got ${String(pad)}`,
      );
    this.padId = id;
  }

  /** @throws {ClipError} `CLIP_TEXT` if the tokenizer turns out to be damaged. */
  encodeWithSpecialTokens(text: string): number[] {
    checkKind("encodeWithSpecialTokens: the text", text, textKind);
    return contained("cannot encode", () => this.#encode(text));
  }

  #encode(text: string): number[] {
    const ids = [...this.#tokenizer.encode(this.#clean(text)).ids];
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocabSize);
    if (wrong === undefined && ids.length <= maxTokens) return ids;
    const what = wrong === undefined ? `${ids.length} ids` : `the id ${String(wrong)}`;
    throw new ClipError(
      "CLIP_TEXT",
      `the tokenizer returned ${what} for ${JSON.stringify(text.slice(0, 60))}; it is damaged`,
    );
  }

  decode(ids: readonly number[]): string {
    return contained("cannot decode", () => this.#decode(ids));
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode([...ids], { skip_special_tokens: true });
  }

  /**
   * Encodes texts as one padded batch of ids, with the position of each text's last token.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text is too long and `truncate` is not set.
   */
  tokenize(texts: readonly string[], options: TokenizeOptions = {}): TokenizedTexts {
    checkKind("tokenize: the texts", texts, listOf(textKind));
    checkOptions("tokenize", options, tokenizeKinds);
    const { contextLength = 64, truncate = false } = options;
    const inputIds = new Int32Array(texts.length * contextLength).fill(this.padId);
    const endOfText = new Int32Array(texts.length);
    const truncated: Truncation[] = [];
    const encode = (text: string, index: number) => {
      let ids = this.#encode(text);
      const dropped = ids.length - contextLength;
      if (dropped > 0) {
        if (!truncate) throw tooLong(text, index, ids.length, contextLength);
        // Special tokens, found by encoding an empty text, stay at both ends.
        const specials = this.#encode("");
        const head = specials.findIndex((special, i) => special !== ids[i]);
        const tail = specials.length - Math.max(0, head);
        const lost = ids.slice(contextLength - tail, ids.length - tail);
        truncated.push({ index, dropped, droppedText: this.#decode(lost) });
        ids = [...ids.slice(0, contextLength - tail), ...ids.slice(ids.length - tail)];
      }
      inputIds.set(ids, index * contextLength);
      endOfText[index] = Math.max(0, ids.length - 1);
    };
    for (let from = 0; from < texts.length; from += textsAtOnce)
      contained("cannot encode", () => {
        texts.slice(from, from + textsAtOnce).forEach((text, i) => encode(text, from + i));
      });
    return { inputIds, endOfText, contextLength, truncated };
  }
}
