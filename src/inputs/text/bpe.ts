import { ClipError } from "../../core/errors.ts";
import { characterOfId, idOfByte } from "./byte-alphabet.ts";
import { Heap } from "./priority-queue.ts";

/** Ids of the bytes within a word, then of the bytes that end one; merges follow. */
export const byteIds = 256;
export const baseSize = 2 * byteIds;
/** Written after the last character of a word. */
export const endOfWord = "</w>";
/** More would not be a vocabulary but an attack; CLIP has 48,894. */
const maxMerges = 1_000_000;
/** Each merge may double the longest token; twenty such lines would fill the memory. */
const maxTokenLength = 1024;

/** The ids of both parts as one number, exact for every vocabulary of at most {@link maxMerges}. */
export const pairKey = (left: number, right: number): number => left * 2 ** 21 + right;

/** Byte-pair merges, looked up by rank. Ids: bytes, bytes that end a word, then one id per merge in order. */
export interface Bpe {
  /** {@link pairKey} of two ids → rank of their merge; the merged id is {@link baseSize} + rank. */
  readonly bpeRanks: ReadonlyMap<number, number>;
  /** Id → its bytes in the byte alphabet, {@link endOfWord} left out. */
  readonly characters: readonly string[];
  /** Id → whether it ends a word. */
  readonly endsWord: readonly boolean[];
}

/**
 * Reads merges in order of rank, each `"left right"` in the byte alphabet.
 *
 * @throws {ClipError} `CLIP_TEXT` if a merge is not two tokens that exist by then, or makes a token that exists.
 */
export function readMerges(merges: readonly string[]): Bpe {
  if (merges.length > maxMerges) {
    throw new ClipError("CLIP_TEXT", `a vocabulary has at most ${maxMerges} merges, this one ${merges.length}`);
  }
  const characters = [...characterOfId, ...characterOfId];
  const endsWord = characters.map((_, id) => id >= byteIds);
  const idOf = new Map(characters.map((character, id) => [endsWord[id] ? character + endOfWord : character, id]));
  const bpeRanks = new Map<number, number>();
  merges.forEach((merge, rank) => {
    const blank = merge.indexOf(" ");
    const [left, right] = [merge.slice(0, blank), merge.slice(blank + 1)];
    const [leftId, rightId] = [idOf.get(left), idOf.get(right)];
    if (blank < 0) throw badMerge(merge, rank, "it has no blank");
    if (leftId === undefined) throw badMerge(merge, rank, `${quote(left)} is no token yet`);
    if (rightId === undefined) throw badMerge(merge, rank, `${quote(right)} is no token yet`);
    if (endsWord[leftId]) throw badMerge(merge, rank, `nothing can follow ${endOfWord}`);
    const token = left + right;
    if (idOf.has(token)) throw badMerge(merge, rank, "its result is a token already");
    if (token.length > maxTokenLength) throw badMerge(merge, rank, `its result is longer than ${maxTokenLength} bytes`);
    idOf.set(token, baseSize + rank);
    characters.push(endsWord[rightId] ? token.slice(0, -endOfWord.length) : token);
    endsWord.push(endsWord[rightId]!);
    bpeRanks.set(pairKey(leftId, rightId), rank);
  });
  return { bpeRanks, characters, endsWord };
}

function badMerge(merge: string, rank: number, problem: string): ClipError {
  const format = `a merge is two tokens with a blank between, as in "th e${endOfWord}", each a byte or made by an earlier merge`;
  return new ClipError("CLIP_TEXT", `merge ${rank + 1}, ${quote(merge)}: ${problem}; ${format}`);
}

const quote = (text: string) => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

const utf8 = new TextEncoder();

/** The ids of a word before any merge: one per byte of its UTF-8, the last one marked as the end of the word. */
export function byteIdsOf(word: string): number[] {
  const ids = Array.from(utf8.encode(word), (byte) => idOfByte[byte]!);
  ids[ids.length - 1]! += byteIds;
  return ids;
}

/**
 * The ids of a word: of the pairs that have a merge, the one of lowest rank, leftmost first, is merged until none is left.
 *
 * A heap of pairs over a linked list takes n log n steps for n bytes, so that a long word cannot stall a server.
 */
export function encodeWord({ bpeRanks }: Bpe, word: string): number[] {
  const ids = byteIdsOf(word);
  const end = ids.length;
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const rankAt = (i: number) => (next[i]! < end ? bpeRanks.get(pairKey(ids[i]!, ids[next[i]!]!)) : undefined);

  // Rank and place as one number, in that order; both fit: a word has fewer than 2³² bytes.
  const candidates = new Heap<number>((a, b) => a < b);
  const consider = (at: number) => {
    const rank = rankAt(at);
    if (rank !== undefined) candidates.add(rank * 2 ** 32 + at);
  };
  for (let i = 0; i < end; i++) consider(i);

  const gone = -1;
  for (let best = candidates.take(); best !== undefined; best = candidates.take()) {
    const [rank, at] = [Math.floor(best / 2 ** 32), best % 2 ** 32];
    // A neighbour's merge may have taken this pair apart since.
    if (ids[at] === gone || rankAt(at) !== rank) continue;
    const absorbed = next[at]!;
    ids[at] = baseSize + rank;
    ids[absorbed] = gone;
    next[at] = next[absorbed]!;
    if (next[at] < end) previous[next[at]] = at;
    consider(at);
    if (previous[at]! >= 0) consider(previous[at]!);
  }
  return ids.filter((id) => id !== gone);
}
