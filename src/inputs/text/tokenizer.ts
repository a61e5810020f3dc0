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
/** Words seen before are looked up. The bounds keep the memory of a long run at a few megabytes. */
const maxCachedWords = 65_536;
const maxCachedLength = 64;
/** Far beyond any text tower; bounds what one text takes. */
const maxContextLength = 65_536;

export interface EncodeOptions {
  /** What `<|endoftext|>` written out in a text means; default `"parse"`, as the reference. For the text of strangers, `"text"`. */
  readonly specialTokens?: SpecialTokens;
}

const encodeKinds: OptionKinds<EncodeOptions> = { specialTokens: oneOf("parse", "text") };

export interface TokenizeOptions extends EncodeOptions {
  /** Tokens per text, both marks included: what the model was trained with. Default 77. */
  readonly contextLength?: number;
  /** Cut a text that is too long instead of throwing; the result says what was lost. Default false. */
  readonly truncate?: boolean;
}

export const tokenizeKinds: OptionKinds<TokenizeOptions> = {
  ...encodeKinds,
  contextLength: wholeNumber(1, maxContextLength),
  truncate: flag,
};

/** What a tokenizer is made of, as it travels between threads and into files. */
export type TokenizerSource =
  | { readonly kind: "merges"; readonly merges: readonly string[] }
  | {
      readonly kind: "json";
      /** What `tokenizer.json` holds. */
      readonly json: object;
      /** What `tokenizer_config.json` holds. */
      readonly config: object;
      readonly cleaning: TextCleaning;
    };

/** What is done to a text before the vocabulary of a `tokenizer.json` is asked, as the models' own code does it. */
export type TextCleaning = "canonicalize" | "lower" | "none";

/** Texts to ids, by whatever vocabulary. */
export interface TextTokenizer {
  readonly source: TokenizerSource;
  /** Ids are below it. */
  readonly vocabSize: number;
  /** The ids of a text of any length, with the marks around it. */
  encodeWithMarks(text: string): number[];
  /** @throws {ClipError} `CLIP_TEXT` if a text is too long and `truncate` is not set. */
  tokenize(texts: readonly string[], options: TokenizeOptions): TokenizedTexts;
}

/** Texts as a text tower reads them. */
export interface TokenizedTexts {
  /** [T, L]; the tokens with their marks, then padding. */
  readonly inputIds: Int32Array;
  /** [T]; where the first end mark stands, at which CLIP pools; without such marks, the last token. */
  readonly endOfText: Int32Array;
  /** L. */
  readonly contextLength: number;
  /** The texts that were too long, in order; empty unless `truncate` was asked for. */
  readonly truncated: readonly Truncation[];
}

/** What was cut from a text to make it fit. */
export interface Truncation {
  /** Which of the texts, from 0. */
  readonly index: number;
  /** How many tokens were cut. */
  readonly dropped: number;
  /** What they said. */
  readonly droppedText: string;
}

/**
 * CLIP's byte-pair tokenizer: text to ids and back.
 *
 * Ids equal those of OpenAI's `clip.tokenize` with `ftfy`. Any text has ids: bytes are the last resort. The vocabulary is
 * 256 bytes, the same at the end of a word, one token per merge, and the two marks.
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
  /** What tells one vocabulary from another, in order of rank. */
  readonly merges: readonly string[];
  /** 512 + merges + 2. */
  readonly vocabSize: number;
  readonly startOfTextId: number;
  readonly endOfTextId: number;
  /** Also the id of `!`: what follows the end mark is not read. */
  readonly padId = 0;
  readonly #bpe: Bpe;
  readonly #cache = new Map<string, readonly number[]>();

  /**
   * A tokenizer of its own vocabulary; {@link trainBpe} makes merges, {@link parseMerges} reads them.
   *
   * @param merges - in order of rank, each `"left right"` in the byte alphabet.
   * @throws {ClipError} `CLIP_TEXT` if a merge is not two tokens that exist by then, or makes a token that exists.
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

  /** The vocabulary of 49,408 tokens that OpenAI published; read on first use, then shared. */
  static published(): Promise<ClipTokenizer> {
    const published = (ClipTokenizer.#published ??= readPublishedMerges().then((merges) => new ClipTokenizer(merges)));
    published.catch(() => (ClipTokenizer.#published = undefined)); // the next call tries again
    return published;
  }

  /** Every token by its id, as files of vocabularies write it. */
  tokens(): string[] {
    const { characters, endsWord } = this.#bpe;
    return [...characters.map((token, id) => (endsWord[id] ? token + endOfWord : token)), startOfText, endOfText];
  }

  /** The ids of a text of any length, without the marks around it. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    checkKind("encode: the text", text, textKind);
    checkOptions("encode", options, encodeKinds);
    return this.#encode(text, options);
  }

  #encode(text: string, { specialTokens = "parse" }: EncodeOptions): number[] {
    const ids: number[] = [];
    for (const word of splitWords(cleanText(text), specialTokens)) {
      for (const id of this.#cache.get(word) ?? this.#encodeNewWord(word)) ids.push(id);
    }
    return ids;
  }

  encodeWithMarks(text: string): number[] {
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
   * The text of ids: lower case, a blank after each word. Bytes that are no UTF-8 become U+FFFD; marks are written out.
   *
   * @throws {ClipError} `CLIP_TEXT` if an id is not of this vocabulary.
   */
  decode(ids: Iterable<number>): string {
    const bytes: number[] = [];
    const { characters, endsWord } = this.#bpe;
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
        throw new ClipError("CLIP_TEXT", `${id} is no token id: this vocabulary has ids 0 to ${this.vocabSize - 1}`);
      }
      const mark = id === this.startOfTextId ? startOfText : id === this.endOfTextId ? endOfText : undefined;
      for (const character of mark ?? characters[id]!) bytes.push(byteOfCharacter.get(character)!);
      if (endsWord[id]) bytes.push(0x20);
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }

  /**
   * Texts as one padded batch of ids with marks, and where each text ends.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text is too long and `truncate` is not set; `CLIP_USAGE` if `contextLength` has
   *   no room for the marks or is out of all proportion.
   */
  tokenize(texts: readonly string[], options: TokenizeOptions = {}): TokenizedTexts {
    checkKind("tokenize: the texts", texts, listOf(textKind));
    checkOptions("tokenize", options, tokenizeKinds);
    const { contextLength = 77, truncate = false } = options;
    if (!Number.isInteger(contextLength) || contextLength < 2 || contextLength > maxContextLength) {
      const range = `a whole number from 2, for both marks, to ${maxContextLength}`;
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

/** @param tokens - of the text, marks included. */
export function tooLong(text: string, index: number, tokens: number, contextLength: number): ClipError {
  const start = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  const excess = tokens - contextLength;
  return new ClipError(
    "CLIP_TEXT",
    `text ${index} (${start}) is ${excess} token${excess === 1 ? "" : "s"} too long: with its marks it has ${tokens}, ` +
      `and the context length is ${contextLength}; shorten it, or ask for it to be cut (truncate)`,
  );
}
