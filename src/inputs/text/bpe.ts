import { ClipError } from "../../core/errors.ts";
import { characterOfId, idOfByte } from "./byte-alphabet.ts";
import { Heap } from "./priority-queue.ts";

/** Number of ids of bytes within a word; ids of bytes that end a word, then of merges, follow. */
export const byteIds = 256;
export const baseSize = 2 * byteIds;
/** Suffix of tokens that end a word. */
export const endOfWord = "</w>";
/** Guards against hostile files; CLIP has 48,894. */
const maxMerges = 1_000_000;
/** Guards against hostile files: each merge may double the longest token, so a few lines could fill the memory. */
const maxTokenLength = 1024;

/** Two ids as one number, exact for up to {@link maxMerges} merges. */
export const pairKey = (left: number, right: number): number => left * 2 ** 21 + right;

/** Byte-pair merges, looked up by rank. Ids: bytes, bytes that end a word, then one id per merge in order. */
export interface Bpe {
  /** {@link pairKey} of two ids → rank of their merge; the merged id is {@link baseSize} + rank. */
  readonly bpeRanks: ReadonlyMap<number, number>;
  /** Id → its bytes in the byte alphabet, without {@link endOfWord}. */
  readonly characters: readonly string[];
  /** Id → true if it ends a word. */
  readonly endsWord: readonly boolean[];
}

/**
 * Reads merges in order of rank, each `"left right"` in the byte alphabet.
 *
 * @throws {ClipError} `CLIP_TEXT` if a merge does not join two earlier tokens into a new one.
 */
export function readMerges(merges: readonly string[]): Bpe {
  if (merges.length > maxMerges) {
    throw new ClipError(
      "CLIP_TEXT",
      `a vocabulary may have at most ${maxMerges} merges; this one has ${merges.length}`,
    );
  }
  const characters = [...characterOfId, ...characterOfId];
  const endsWord = characters.map((_, id) => id >= byteIds);
  const idOf = new Map(characters.map((character, id) => [endsWord[id] ? character + endOfWord : character, id]));
  const bpeRanks = new Map<number, number>();
  merges.forEach((merge, rank) => {
    const space = merge.indexOf(" ");
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)];
    const [leftId, rightId] = [idOf.get(left), idOf.get(right)];
    if (space < 0) throw badMerge(merge, rank, "it has no space");
    if (leftId === undefined) throw badMerge(merge, rank, `${quote(left)} is not a token yet`);
    if (rightId === undefined) throw badMerge(merge, rank, `${quote(right)} is not a token yet`);
    if (endsWord[leftId]) throw badMerge(merge, rank, `nothing can follow ${endOfWord}`);
    const token = left + right;
    if (idOf.has(token)) throw badMerge(merge, rank, "its result is already a token");
    if (token.length > maxTokenLength) throw badMerge(merge, rank, `its result is longer than ${maxTokenLength} bytes`);
    idOf.set(token, baseSize + rank);
    characters.push(endsWord[rightId] ? token.slice(0, -endOfWord.length) : token);
    endsWord.push(endsWord[rightId]!);
    bpeRanks.set(pairKey(leftId, rightId), rank);
  });
  return { bpeRanks, characters, endsWord };
}

function badMerge(merge: string, rank: number, problem: string): ClipError {
  const format = `a merge is two tokens separated by a space, as in "th e${endOfWord}", each a byte or made by an earlier merge`;
  return new ClipError("CLIP_TEXT", `merge ${rank + 1}, ${quote(merge)}: ${problem}; ${format}`);
}

const quote = (text: string) => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

const utf8 = new TextEncoder();

/** Ids of a word before merging: one per UTF-8 byte, the last one from the ids that end a word. */
export function byteIdsOf(word: string): number[] {
  const ids = Array.from(utf8.encode(word), (byte) => idOfByte[byte]!);
  ids[ids.length - 1]! += byteIds;
  return ids;
}

/**
 * Encodes a word by repeatedly applying the merge of lowest rank, leftmost first.
 *
 * A heap of pairs over a linked list takes n log n steps for n bytes, so that long words do not stall a server.
 */
export function encodeWord({ bpeRanks }: Bpe, word: string): number[] {
  const ids = byteIdsOf(word);
  const end = ids.length;
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const rankAt = (i: number) => (next[i]! < end ? bpeRanks.get(pairKey(ids[i]!, ids[next[i]!]!)) : undefined);

  // Rank and position as one number; a word has fewer than 2³² bytes.
  const candidates = new Heap<number>((a, b) => a < b);
  const consider = (at: number) => {
    const rank = rankAt(at);
    if (rank !== undefined) candidates.add(rank * 2 ** 32 + at);
  };
  for (let i = 0; i < end; i++) consider(i);

  const gone = -1;
  for (let best = candidates.take(); best !== undefined; best = candidates.take()) {
    const [rank, at] = [Math.floor(best / 2 ** 32), best % 2 ** 32];
    // Skip a pair that a neighbour's merge has broken up.
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
