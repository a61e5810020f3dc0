import { ClipError } from "../../core/errors.ts";
import {
  checkKind,
  checkOptions,
  flag,
  listOf,
  oneOf,
  type OptionKinds,
  text as textKind,
  wholeNumber,
} from "../../core/options.ts";
import { baseSize, encodeWord, endOfWord, readMerges, type Bpe } from "./bpe.ts";
import { byteOfId, characterOfId } from "./byte-alphabet.ts";
import { cleanText } from "./clean.ts";
import { readPublishedMerges } from "./published.ts";
import { splitWords, type SpecialTokens } from "./split.ts";

const startOfText = "<|startoftext|>";
const endOfText = "<|endoftext|>";
/** Bounds of the word cache, which keep it at a few megabytes. */
const maxCachedWords = 65_536;
const maxCachedLength = 64;
/** Far beyond any text tower; bounds the memory of one text. */
const maxContextLength = 65_536;

export interface TokenOptions {
  /** Treatment of a literal `<|endoftext|>`. Default `"parse"`, like the reference; use `"text"` for untrusted text. */
  readonly specialTokens?: SpecialTokens;
}

const encodeKinds: OptionKinds<TokenOptions> = { specialTokens: oneOf("parse", "text") };

export interface TokenizeOptions extends TokenOptions {
  /** Tokens per text, special tokens included; must match the model. Default 77. */
  readonly contextLength?: number;
  /** Truncate texts that are too long instead of throwing; the result lists the lost text. Default false. */
  readonly truncate?: boolean;
}

export const tokenizeKinds: OptionKinds<TokenizeOptions> = {
  ...encodeKinds,
  contextLength: wholeNumber(1, maxContextLength),
  truncate: flag,
};

/** Serializable description of a tokenizer, for threads and files. */
export type TokenizerSource =
  | { readonly kind: "merges"; readonly merges: readonly string[] }
  | {
      readonly kind: "json";
      /** Content of `tokenizer.json`. */
      readonly json: object;
      /** Content of `tokenizer_config.json`. */
      readonly config: object;
      readonly cleaning: TextCleaning;
    };

/** Cleaning of a text before a `tokenizer.json` is applied, as in the models' own code. */
export type TextCleaning = "canonicalize" | "lower" | "none";

export interface TextTokenizer {
  readonly source: TokenizerSource;
  /** Number of ids, from 0. */
  readonly vocabSize: number;
  /** Ids of a text of any length, with special tokens. */
  encodeWithSpecialTokens(text: string): number[];
  /** @throws {ClipError} `CLIP_TEXT` if a text is too long and `truncate` is not set. */
  tokenize(texts: readonly string[], options: TokenizeOptions): TokenizedTexts;
}

/** Texts as input of a text tower. */
export interface TokenizedTexts {
  /** [T, L]; tokens with special tokens, then padding. */
  readonly inputIds: Int32Array;
  /** [T]; position of the first end-of-text token, at which CLIP pools; without such tokens, of the last token. */
  readonly endOfText: Int32Array;
  readonly contextLength: number;
  /** Truncated texts, in order; empty unless `truncate` is set. */
  readonly truncated: readonly Truncation[];
}

/** The part cut from a text. */
export interface Truncation {
  readonly index: number;
  readonly dropped: number;
  readonly droppedText: string;
}

/**
 * CLIP's byte-pair tokenizer: text to ids and back.
 *
 * Ids equal those of OpenAI's `clip.tokenize` with `ftfy`. The vocabulary has 256 bytes, the 256 bytes at the end of a
 * word, one token per merge, and two special tokens; so any text can be encoded.
 *
 * @example
 * ```ts
 * const tokenizer = await ClipTokenizer.published();
 * console.log(tokenizer.tokenize(["a photo of a cat"]).inputIds);
 * ```
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/simple_tokenizer.py`.
 */
export class ClipTokenizer implements TextTokenizer {
  static #published: Promise<ClipTokenizer> | undefined;

  readonly source: TokenizerSource;
  /** Merges in order of rank; they define the vocabulary. */
  readonly merges: readonly string[];
  /** 512 + merges + 2. */
  readonly vocabSize: number;
  readonly startOfTextId: number;
  readonly endOfTextId: number;
  /** Also the id of `!`; the model ignores everything after the end of text. */
  readonly padId = 0;
  readonly #bpe: Bpe;
  readonly #cache = new Map<string, readonly number[]>();

  /**
   * Makes a tokenizer with a custom vocabulary, from {@link trainBpe} or {@link parseMerges}.
   *
   * @param merges - in order of rank, each `"left right"` in the byte alphabet.
   * @throws {ClipError} `CLIP_TEXT` if a merge does not join two earlier tokens into a new one.
   */
  constructor(merges: readonly string[]) {
    checkKind("ClipTokenizer: the merges", merges, listOf(textKind));
    this.#bpe = readMerges(merges);
    this.merges = [...merges];
    this.source = { kind: "merges", merges: this.merges };
    this.startOfTextId = baseSize + merges.length;
    this.endOfTextId = this.startOfTextId + 1;
    this.vocabSize = this.endOfTextId + 1;
  }

  /** OpenAI's vocabulary of 49,408 tokens; read on first use, then shared. */
  static published(): Promise<ClipTokenizer> {
    const published = (ClipTokenizer.#published ??= readPublishedMerges().then((merges) => new ClipTokenizer(merges)));
    published.catch(() => (ClipTokenizer.#published = undefined)); // the next call tries again
    return published;
  }

  /** All tokens in order of id, as written in vocabulary files. */
  tokens(): string[] {
    const { characters, endsWord } = this.#bpe;
    return [...characters.map((token, id) => (endsWord[id] ? token + endOfWord : token)), startOfText, endOfText];
  }

  /** Ids of a text of any length, without special tokens around it. */
  encode(text: string, options: TokenOptions = {}): number[] {
    checkKind("encode: the text", text, textKind);
    checkOptions("encode", options, encodeKinds);
    return this.#encode(text, options);
  }

  #encode(text: string, { specialTokens = "parse" }: TokenOptions): number[] {
    const ids: number[] = [];
    for (const word of splitWords(cleanText(text), specialTokens)) {
      for (const id of this.#cache.get(word) ?? this.#encodeNewWord(word)) ids.push(id);
    }
    return ids;
  }

  encodeWithSpecialTokens(text: string): number[] {
    return [this.startOfTextId, ...this.encode(text), this.endOfTextId];
  }

  #encodeNewWord(word: string): readonly number[] {
    const ids =
      word === startOfText
        ? [this.startOfTextId]
        : word === endOfText
          ? [this.endOfTextId]
          : encodeWord(this.#bpe, word);
    if (word.length <= maxCachedLength) {
      if (this.#cache.size >= maxCachedWords) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  /**
   * Decodes ids: lower case, a space after each word. Invalid UTF-8 becomes U+FFFD; special tokens are written out.
   *
   * @throws {ClipError} `CLIP_TEXT` if an id is not of this vocabulary.
   */
  decode(ids: Iterable<number>): string {
    const bytes: number[] = [];
    const { characters, endsWord } = this.#bpe;
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
        throw new ClipError("CLIP_TEXT", `${id} is not a token id; this vocabulary has ids 0 to ${this.vocabSize - 1}`);
      }
      const special = id === this.startOfTextId ? startOfText : id === this.endOfTextId ? endOfText : undefined;
      for (const character of special ?? characters[id]!) bytes.push(byteOfCharacter.get(character)!);
      if (endsWord[id]) bytes.push(0x20);
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }

  /**
   * Encodes texts as one padded batch of ids with special tokens, with the position of each text's end.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text is too long and `truncate` is not set; `CLIP_USAGE` if `contextLength` is
   *   not from 2 to 65,536.
   */
  tokenize(texts: readonly string[], options: TokenizeOptions = {}): TokenizedTexts {
    checkKind("tokenize: the texts", texts, listOf(textKind));
    checkOptions("tokenize", options, tokenizeKinds);
    const { contextLength = 77, truncate = false } = options;
    if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > maxContextLength) {
      const range = `a whole number from 2, for both special tokens, to ${maxContextLength}`;
      throw new ClipError("CLIP_USAGE", `contextLength is ${contextLength}; it must be ${range}`);
    }
    const room = contextLength - 2;
    const inputIds = new Int32Array(texts.length * contextLength);
    const ends = new Int32Array(texts.length);
    const truncated: Truncation[] = [];
    texts.forEach((text, index) => {
      const ids = this.#encode(text, options);
      const dropped = ids.length - room;
      if (dropped > 0) {
        if (!truncate) throw tooLong(text, index, ids.length + 2, contextLength);
        truncated.push({ index, dropped, droppedText: this.decode(ids.splice(room)).trim() });
      }
      const row = index * contextLength;
      inputIds[row] = this.startOfTextId;
      inputIds.set(ids, row + 1);
      inputIds[row + 1 + ids.length] = this.endOfTextId;
      const literal = ids.indexOf(this.endOfTextId);
      ends[index] = 1 + (literal < 0 ? ids.length : literal);
    });
    return { inputIds, endOfText: ends, contextLength, truncated };
  }
}

const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  characterOfId.map((character, id) => [character, byteOfId[id]!]),
);

/** @param tokens - number of tokens, special tokens included. */
export function tooLong(text: string, index: number, tokens: number, contextLength: number): ClipError {
  const start = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  const excess = tokens - contextLength;
  return new ClipError(
    "CLIP_TEXT",
    `text ${index} (${start}) is ${excess} token${excess === 1 ? "" : "s"} too long: it has ${tokens} with its special tokens, ` +
      `and the context length is ${contextLength}; shorten it, or set truncate`,
  );
}
