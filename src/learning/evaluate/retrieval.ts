import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { ClipError } from "../../core/errors.ts";
import { concatenate, float32, type TensorData } from "../../core/tensor-data.ts";
import { callback, checkKind, checkOptions, type OptionKinds, sourceOf, text } from "../../core/options.ts";
import { type ClipEncoder, dot, encoderKind } from "../../model/embedding/encoder.ts";
import { input } from "../../engine/graph/tensor.ts";
import { Session } from "../../engine/runtime/session.ts";
import type { Sample } from "../../inputs/data/sources/samples.ts";
import { recallAtK } from "./classification-metrics.ts";
import { encodeReadable, readKinds, type ReadOptions } from "../../model/embedding/encode-readable.ts";
import { retrievalRanks } from "./retrieval-metrics.ts";

export interface RetrievalOptions extends Omit<ReadOptions, "onSkip"> {
  /** Text prepended to each caption, such as the paper's "a photo of ". Default: none. */
  readonly prefix?: string | undefined;
  /** Called with the number of finished images and captions, and of all of them. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

const retrievalKinds: OptionKinds<RetrievalOptions> = { ...readKinds, prefix: text, onProgress: callback };

/** Recall@1, @5 and @10: the share of queries with a right answer among the first k. */
export interface Recalls {
  readonly r1: number;
  readonly r5: number;
  readonly r10: number;
}

/** An image whose captions rank low. */
export interface HardImage {
  readonly image: string;
  /** Number of other captions ranked before the best of its own. */
  readonly rank: number;
  readonly own: string;
  /** The captions ranked first. */
  readonly found: readonly string[];
}

/** A caption whose image ranks low. */
export interface HardCaption {
  readonly caption: string;
  readonly rank: number;
  readonly image: string;
  /** The images ranked first. */
  readonly found: readonly string[];
}

export interface RetrievalScores {
  readonly images: number;
  readonly captions: number;
  /** Captions retrieved by images. */
  readonly textRetrieval: Recalls;
  /** Images retrieved by captions. */
  readonly imageRetrieval: Recalls;
  /** Hardest first. */
  readonly hardImages: readonly HardImage[];
  readonly hardCaptions: readonly HardCaption[];
  /** Number of captions cut because they have more tokens than the model reads. */
  readonly cut: number;
  readonly broken: readonly SkippedImage[];
}

/** Reported hard queries, and wrong answers of each. */
const [keptQueries, keptFound] = [12, 3];
/** Images per batch of similarities. */
const rowsAtOnce = 64;

/**
 * Measures retrieval of captions by images and of images by captions (Radford et al. 2021, table 13). Ties count against the model;
 * captions of one image do not compete with each other.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const { samples } = await readCaptionTable("captions.csv");
 * const { imageRetrieval, textRetrieval } = await evaluateRetrieval(clip, samples);
 * console.log(imageRetrieval.r1, textRetrieval.r1);
 * ```
 *
 * @throws {ClipError} `CLIP_DATA` if no image can be read.
 */
export async function evaluateRetrieval(
  encoder: ClipEncoder,
  images: readonly Sample[],
  options: RetrievalOptions = {},
): Promise<RetrievalScores> {
  checkKind("evaluateRetrieval: the model", encoder, encoderKind);
  checkKind("evaluateRetrieval: the images", images, sourceOf("images with captions"));
  checkOptions("evaluateRetrieval", options, retrievalKinds);
  const { prefix = "", onProgress, signal, ...reading } = options;
  const samples = [...new Map(images.map((sample) => [sample.image, sample])).values()];
  const total = samples.reduce((sum, { captions }) => sum + captions.length, samples.length);
  let done = 0;
  const broken: SkippedImage[] = [];
  const onSkip = (image: SkippedImage) => void broken.push(image);
  const readable: Sample[] = [];
  const imageEmbeds: Float32Array[] = [];
  for await (const [sample, imageEmbed] of encodeReadable(encoder, samples, { ...reading, signal, onSkip })) {
    readable.push(sample);
    imageEmbeds.push(imageEmbed);
    done++;
    onProgress?.(done, total);
  }
  if (readable.length === 0)
    throw new ClipError("CLIP_DATA", `none of ${samples.length} images can be read: ${broken[0]!.reason}`);

  const paths = readable.map(({ image }) => image);
  const captions = readable.flatMap((sample) => sample.captions);
  const imageOfText = readable.flatMap((sample, i) => sample.captions.map(() => i));
  let cut = 0;
  const textEmbeds: Float32Array[] = [];
  const texts = captions.map((caption) => prefix + caption);
  for await (const textEmbed of encoder.encodeTexts(texts, { signal, onTruncate: () => void cut++ })) {
    textEmbeds.push(textEmbed);
    done++;
    onProgress?.(done, total);
  }

  const searched = { images: paths, captions, imageOfText, imageEmbeds, textEmbeds };
  const { textRanks, imageRanks } = await ranksOf(imageEmbeds, textEmbeds, imageOfText, signal);
  return {
    images: paths.length,
    captions: captions.length,
    cut,
    broken,
    textRetrieval: recallsOf(textRanks),
    imageRetrieval: recallsOf(imageRanks),
    hardImages: hardest(textRanks).map((image) => hardImage(image, textRanks[image]!, searched)),
    hardCaptions: hardest(imageRanks).map((text) => hardCaption(text, imageRanks[text]!, searched)),
  };
}

/** Everything that is searched. */
interface Searched {
  readonly images: readonly string[];
  readonly captions: readonly string[];
  /** By caption, the index of its image. */
  readonly imageOfText: readonly number[];
  readonly imageEmbeds: readonly Float32Array[];
  readonly textEmbeds: readonly Float32Array[];
}

function hardImage(image: number, rank: number, searched: Searched): HardImage {
  const { images, captions, imageOfText, imageEmbeds, textEmbeds } = searched;
  const order = nearest(imageEmbeds[image]!, textEmbeds);
  const isOwn = (text: number) => imageOfText[text] === image;
  const others = order.filter((text) => !isOwn(text)).slice(0, keptFound);
  const found = others.map((text) => captions[text]!);
  return { image: images[image]!, rank, own: captions[order.find(isOwn)!]!, found };
}

function hardCaption(text: number, rank: number, searched: Searched): HardCaption {
  const { images, captions, imageOfText, imageEmbeds, textEmbeds } = searched;
  const own = imageOfText[text]!;
  const others = nearest(textEmbeds[text]!, imageEmbeds).filter((image) => image !== own);
  const found = others.slice(0, keptFound).map((image) => images[image]!);
  return { caption: captions[text]!, rank, image: images[own]!, found };
}

function recallsOf(ranks: readonly number[]): Recalls {
  return { r1: recallAtK(ranks, 1), r5: recallAtK(ranks, 5), r10: recallAtK(ranks, 10) };
}

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
  return await retrievalRanks(rows, imageOfText); // while the session is open
}

function stack(vectors: readonly Float32Array[]): TensorData<"float32"> {
  return float32(concatenate(vectors), [vectors.length, vectors[0]!.length]);
}
