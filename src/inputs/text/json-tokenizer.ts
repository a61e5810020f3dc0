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

/** The library's own types cannot be resolved: their files import each other without extensions. */
interface Tokenizer {
  encode(text: string): { readonly ids: number[] };
  decode(ids: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
  get_vocab(withAddedTokens: boolean): ReadonlyMap<string, number>;
}

const { Tokenizer } = library as unknown as { Tokenizer: new (json: object, config: object) => Tokenizer };

/** Far beyond any text. */
const maxTokens = 10_000_000;

/** So many texts take milliseconds; the regular expressions of a damaged file may take for ever. */
const textsAtOnce = 64;
const limitMs = 10_000;

/** The library trusts its files, and what is wrong in them shows as whatever error of JavaScript it then runs into. */
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

/** Punctuation as Python's `string.punctuation` has it. */
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/gu;

/**
 * As SigLIP was trained: `_` is a blank, no punctuation, lower case, single blanks (big_vision's and open_clip's
 * `canonicalize_text`).
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
 * A tokenizer by its `tokenizer.json`, as Hugging Face's library writes it: SentencePiece's vocabularies, which SigLIP reads,
 * among others.
 */
export class JsonTokenizer implements TextTokenizer {
  readonly source: TokenizerSource;
  readonly vocabSize: number;
  readonly padId: number;
  readonly #tokenizer: Tokenizer;
  readonly #clean: (text: string) => string;

  /**
   * The regular expressions of the file are run as they are, by the library and on this thread. Those that repeat what varies
   * are refused; in Node work that takes more than 10 seconds for 64 texts is ended, which in a page nothing can do.
   *
   * @param json - what `tokenizer.json` holds.
   * @param config - what `tokenizer_config.json` holds.
   * @throws {ClipError} `CLIP_TEXT` if they are no tokenizer, or name no token to pad with.
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
        `the tokenizer's config names no pad_token of its vocabulary, but ${String(pad)}`,
      );
    this.padId = id;
  }

  /** @throws {ClipError} `CLIP_TEXT` if the tokenizer is damaged in a way that shows only now. */
  encodeWithMarks(text: string): number[] {
    checkKind("encodeWithMarks: the text", text, textKind);
    return contained("cannot encode", () => this.#encode(text));
  }

  #encode(text: string): number[] {
    const ids = [...this.#tokenizer.encode(this.#clean(text)).ids];
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocabSize);
    if (wrong === undefined && ids.length <= maxTokens) return ids;
    const what = wrong === undefined ? `${ids.length} ids` : `the id ${String(wrong)}`;
    throw new ClipError(
      "CLIP_TEXT",
      `the tokenizer gives ${what} for ${JSON.stringify(text.slice(0, 60))}; it is damaged`,
    );
  }

  decode(ids: readonly number[]): string {
    return contained("cannot decode", () => this.#decode(ids));
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode([...ids], { skip_special_tokens: true });
  }

  /**
   * Texts as one padded batch of ids, and where the last token of each stands.
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
        // What ends every text ends this one too; what begins it counts among the first.
        const marks = this.#encode("");
        const head = marks.findIndex((mark, i) => mark !== ids[i]);
        const tail = marks.length - Math.max(0, head);
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
