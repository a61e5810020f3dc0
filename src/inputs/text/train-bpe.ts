import { ClipError } from "../../core/errors.ts";
import { checkKind, sourceOf } from "../../core/options.ts";
import { baseSize, byteIds, byteIdsOf, endOfWord, pairKey } from "./bpe.ts";
import { characterOfId } from "./byte-alphabet.ts";
import { cleanText } from "./clean.ts";
import { Heap } from "./priority-queue.ts";
import { splitWords } from "./split.ts";

/** Longer strings are not words, and each merge would scan them again. */
const maxWordLength = 256;

interface Word {
  ids: number[];
  readonly count: number;
}

interface Pair {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Words that contain the pair, or did once. */
  readonly words: Set<Word>;
}

/**
 * Learns merges from texts by repeatedly merging the most frequent pair of neighbouring tokens (Sennrich et al. 2016,
 * section 3.2). Texts are cleaned and split as in the tokenizer.
 *
 * Deterministic: of equally frequent pairs, the one with lower ids is merged first.
 *
 * @param vocabSize - size of the resulting vocabulary: 512 + merges + 2.
 * @returns merges in order of rank; fewer than requested if no pair occurs twice.
 * @throws {ClipError} `CLIP_USAGE` if `vocabSize` has no room for 512 byte tokens and two special tokens.
 */
export function trainBpe(texts: Iterable<string>, vocabSize: number): string[] {
  checkKind("trainBpe: the texts", texts, sourceOf("strings"));
  const wanted = vocabSize - baseSize - 2;
  if (!Number.isInteger(wanted) || wanted < 0) {
    throw new ClipError(
      "CLIP_USAGE",
      `vocabSize is ${vocabSize}; it must be a whole number of at least ${baseSize + 2}`,
    );
  }
  const pairs = new PairCounts(countWords(texts));
  const tokens = [...characterOfId, ...characterOfId.map((character) => character + endOfWord)];
  const known = new Set(tokens);
  const endsWord = tokens.map((_, id) => id >= byteIds);
  const merges: string[] = [];
  while (merges.length < wanted) {
    const pair = pairs.takeMostFrequent();
    if (!pair) break;
    const { left, right } = pair;
    const token = tokens[left]! + tokens[right]!;
    // The token already exists, or its text would be read as the end of a word.
    if (known.has(token) || (token.endsWith(endOfWord) && !endsWord[right])) continue;
    pairs.merge(pair, tokens.length);
    merges.push(`${tokens[left]} ${tokens[right]}`);
    tokens.push(token);
    known.add(token);
    endsWord.push(endsWord[right]!);
  }
  return merges;
}

/** The pairs of neighbouring tokens in all words, with their counts. */
class PairCounts {
  readonly #pairs = new Map<number, Pair>();
  /** A queued count may be outdated: an entry whose count has changed is skipped, or queued again if it grew. */
  readonly #byCount = new Heap<{ pair: Pair; count: number }>(
    (a, b) => a.count > b.count || (a.count === b.count && isFirst(a.pair, b.pair)),
  );

  constructor(words: readonly Word[]) {
    for (const word of words) forEachPair(word.ids, (left, right) => this.#add(left, right, word, 1));
    for (const pair of this.#pairs.values()) this.#offer(pair);
  }

  /** Undefined if no pair is left that occurs twice. */
  takeMostFrequent(): Pair | undefined {
    for (;;) {
      const best = this.#byCount.take();
      if (!best || best.count < 2) return undefined;
      const { pair, count } = best;
      if (count === pair.count) return pair;
      if (count > pair.count) this.#offer(pair);
    }
  }

  /** Replaces a pair by the token `id` in all words. */
  merge({ left, right, words }: Pair, id: number): void {
    const grown = new Set<Pair>();
    for (const word of words) {
      const merged = mergePair(word.ids, left, right, id);
      if (merged.length === word.ids.length) continue;
      forEachPair(word.ids, (a, b) => this.#add(a, b, word, -1));
      word.ids = merged;
      forEachPair(word.ids, (a, b) => {
        const changed = this.#add(a, b, word, 1);
        if (a === id || b === id) grown.add(changed);
      });
    }
    this.#pairs.delete(pairKey(left, right));
    grown.forEach((pair) => this.#offer(pair));
  }

  #offer(pair: Pair): void {
    this.#byCount.add({ pair, count: pair.count });
  }

  #add(left: number, right: number, word: Word, sign: 1 | -1): Pair {
    const key = pairKey(left, right);
    let pair = this.#pairs.get(key);
    if (!pair) this.#pairs.set(key, (pair = { left, right, count: 0, words: new Set() }));
    pair.count += sign * word.count;
    pair.words.add(word);
    return pair;
  }
}

const isFirst = (a: Pair, b: Pair) => a.left < b.left || (a.left === b.left && a.right < b.right);

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitWords(cleanText(text), "text")) {
      if (word.length <= maxWordLength) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return Array.from(counts, ([word, count]) => ({ ids: byteIdsOf(word), count }));
}

function forEachPair(ids: readonly number[], visit: (left: number, right: number) => void): void {
  for (let i = 1; i < ids.length; i++) visit(ids[i - 1]!, ids[i]!);
}

/** Replaces each pair of `left` and `right` with `id`, from left to right. */
function mergePair(ids: readonly number[], left: number, right: number, id: number): number[] {
  const merged: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    merged.push(isPair ? id : ids[i]!);
    if (isPair) i++;
  }
  return merged;
}
