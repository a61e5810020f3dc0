import { ClipError } from "../../core/errors.ts";
import { concatenate, float32, type TensorData } from "../../core/tensor-data.ts";
import { type ClipEncoder, dot } from "../../model/embedding/encoder.ts";
import { input } from "../../engine/graph/tensor.ts";
import { Session } from "../../engine/runtime/session.ts";
import type { CaptionedImage } from "../../inputs/data/captioned-images.ts";
import { recallAtK } from "./classification-metrics.ts";
import { type BrokenImage, encodeReadable, type ReadOptions } from "./encode-images.ts";
import { retrievalRanks } from "./retrieval-metrics.ts";

/** Options of {@link evaluateRetrieval}. */
export interface RetrievalOptions extends Omit<ReadOptions, "onBroken"> {
  /** Text prepended to each caption, such as the paper's "a photo of ". Default: none. */
  readonly prefix?: string | undefined;
  /** Called with the number of finished images and captions, and their total. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** Shares of queries whose answer is among the first 1, 5 and 10. */
export interface Recalls {
  readonly r1: number;
  readonly r5: number;
  readonly r10: number;
}

/** An image whose captions rank low. */
export interface HardImage {
  readonly image: string;
  /** Number of foreign captions before the best of its own. */
  readonly rank: number;
  readonly own: string;
  /** Captions that rank first instead. */
  readonly found: readonly string[];
}

/** A caption whose image ranks low. */
export interface HardCaption {
  readonly caption: string;
  readonly rank: number;
  readonly image: string;
  /** Images that rank first instead. */
  readonly found: readonly string[];
}

/** Scores of a model in retrieval, in both directions. */
export interface RetrievalScores {
  readonly images: number;
  readonly captions: number;
  /** Queries are images, answers any of their captions. */
  readonly textRetrieval: Recalls;
  /** Queries are captions, answers their images. */
  readonly imageRetrieval: Recalls;
  /** Hardest first. */
  readonly hardImages: readonly HardImage[];
  readonly hardCaptions: readonly HardCaption[];
  /** Number of truncated captions. */
  readonly cut: number;
  readonly broken: readonly BrokenImage[];
}

/** Reported hard queries, and wrong answers of each. */
const [keptQueries, keptFound] = [12, 3];
/** Images per batch of similarities. */
const rowsAtOnce = 64;

/**
 * Measures retrieval of captions by images and images by captions (Radford et al. 2021, table 13). Ties count as wrong; captions of
 * one image do not compete with each other.
 *
 * @throws {ClipError} `CLIP_DATA` if no image can be read.
 */
export async function evaluateRetrieval(
  encoder: ClipEncoder,
  locations: readonly CaptionedImage[],
  { prefix = "", onProgress, signal, ...reading }: RetrievalOptions = {},
): Promise<RetrievalScores> {
  const imageLocationOf = new Map(locations.map((location) => [location.image, location]));
  const total = locations.reduce((sum, { captions }) => sum + captions.length, imageLocationOf.size);
  let done = 0;
  const broken: BrokenImage[] = [];
  const onBroken = (location: BrokenImage) => void broken.push(location);
  const images: string[] = [];
  const imageEmbeds: Float32Array[] = [];
  for await (const { image, imageEmbed } of encodeReadable(encoder, imageLocationOf.values(), {
    ...reading,
    signal,
    onBroken,
  })) {
    images.push(image);
    imageEmbeds.push(imageEmbed);
    onProgress?.(++done, total);
  }
  if (images.length === 0)
    throw new ClipError("CLIP_DATA", `not one of ${imageLocationOf.size} images can be read: ${broken[0]!.reason}`);

  const captions = images.flatMap((image) => imageLocationOf.get(image)!.captions);
  const imageOfText = images.flatMap((image, i) => imageLocationOf.get(image)!.captions.map(() => i));
  let cut = 0;
  const textEmbeds: Float32Array[] = [];
  const texts = captions.map((caption) => prefix + caption);
  for await (const textEmbed of encoder.encodeTexts(texts, { signal, onTruncate: () => void cut++ })) {
    textEmbeds.push(textEmbed);
    onProgress?.(++done, total);
  }

  const { textRanks, imageRanks } = await ranksOf(imageEmbeds, textEmbeds, imageOfText, signal);
  return {
    ...{ images: images.length, captions: captions.length, cut, broken },
    textRetrieval: recallsOf(textRanks),
    imageRetrieval: recallsOf(imageRanks),
    hardImages: hardest(textRanks).map((image) => {
      const order = nearest(imageEmbeds[image]!, textEmbeds);
      const isOwn = (text: number) => imageOfText[text] === image;
      const found = order.filter((text) => !isOwn(text)).slice(0, keptFound);
      return {
        ...{ image: images[image]!, rank: textRanks[image]!, own: captions[order.find(isOwn)!]! },
        found: found.map((text) => captions[text]!),
      };
    }),
    hardCaptions: hardest(imageRanks).map((text) => {
      const own = imageOfText[text]!;
      const found = nearest(textEmbeds[text]!, imageEmbeds).filter((image) => image !== own);
      return {
        ...{ caption: captions[text]!, rank: imageRanks[text]!, image: images[own]! },
        found: found.slice(0, keptFound).map((image) => images[image]!),
      };
    }),
  };
}

const recallsOf = (ranks: readonly number[]): Recalls => ({
  r1: recallAtK(ranks, 1),
  r5: recallAtK(ranks, 5),
  r10: recallAtK(ranks, 10),
});

/** Indices of the queries with the worst ranks, without those whose answer ranks first. */
function hardest(ranks: readonly number[]): number[] {
  const order = Array.from(ranks.keys()).sort((a, b) => ranks[b]! - ranks[a]!);
  return order.filter((query) => ranks[query]! > 0).slice(0, keptQueries);
}

/** Indices of embeddings, nearest first. */
function nearest(query: Float32Array, embeds: readonly Float32Array[]): number[] {
  const similarities = embeds.map((embed) => dot(query, embed));
  return Array.from(similarities.keys()).sort((a, b) => similarities[b]! - similarities[a]!);
}

/** Ranks in both directions. ONNX Runtime computes the similarities, of which there may be a hundred million. */
async function ranksOf(
  imageEmbeds: readonly Float32Array[],
  textEmbeds: readonly Float32Array[],
  imageOfText: readonly number[],
  signal: AbortSignal | undefined,
) {
  const embedDim = textEmbeds[0]!.length;
  const texts = input("texts", ["texts", embedDim]);
  const similarities = input("images", ["images", embedDim]).matmul(texts.T);
  await using session = await Session.compile({ similarities });
  const textMatrix = stack(textEmbeds);
  async function* rows(): AsyncGenerator<Float32Array> {
    for (let start = 0; start < imageEmbeds.length; start += rowsAtOnce) {
      signal?.throwIfAborted();
      const images = stack(imageEmbeds.slice(start, start + rowsAtOnce));
      const { data, shape } = (await session.run({ images, texts: textMatrix }))["similarities"]!;
      for (let row = 0; row < shape[0]!; row++)
        yield (data as Float32Array).subarray(row * textEmbeds.length, (row + 1) * textEmbeds.length);
    }
  }
  return await retrievalRanks(rows, imageOfText);
}

function stack(vectors: readonly Float32Array[]): TensorData<"float32"> {
  return float32(concatenate(vectors), [vectors.length, vectors[0]!.length]);
}
