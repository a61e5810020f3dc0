import { dirname, extname, relative, resolve } from "node:path";
import {
  abortSignal,
  callback,
  checkKind,
  checkOptions,
  type Kind,
  oneOf,
  type OptionKinds,
  text,
  wholeNumber,
  withoutKinds,
} from "../../core/options.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { lazyImage } from "../../inputs/data/image-location.ts";
import { readImages, type ReadImagesOptions } from "../../inputs/data/pairs.ts";
import { decodeKinds, type DecodeOptions, type ImageSource } from "../../inputs/image/image-source.ts";
import { type ClipEncoder, encoderKind } from "../../model/embedding/encoder.ts";
import { modelChecksum } from "../../model/embedding/fingerprint.ts";
import type { LazyImage, OnSkip } from "../../model/embedding/image-stream.ts";
import { type EmbeddedShard, type Embedding, embedShards, type ShardOptions } from "./embed-shards.ts";

/** Images to embed, by id. */
export interface ImagesToEmbed {
  readonly images: ReadonlyMap<string, ImageSource | LazyImage>;
  /** Images of the source that cannot be read. */
  readonly unreadable?: readonly SkippedImage[];
}

/**
 * Images or texts to embed: a path of images (a folder, shards, a table with a column of images), images by id, or texts,
 * which are their own ids.
 */
export type EmbedSource = string | ImagesToEmbed | { readonly texts: readonly string[] };

export interface EmbedOptions
  extends
    Partial<Omit<ShardOptions, "out">>,
    Omit<DecodeOptions, "name">,
    Pick<ReadImagesOptions, "imageColumn" | "images"> {
  /** The folder for the files. */
  readonly out: string;
  /** Called with each text that has more tokens than the model reads; it is cut. */
  readonly onTruncate?: ((text: string) => void) | undefined;
}

const embedKinds: OptionKinds<EmbedOptions> = {
  ...withoutKinds(decodeKinds, "name"),
  ...{ out: text, format: oneOf("parquet", "npy"), shardSize: wholeNumber(1) },
  ...{ rank: wholeNumber(0), size: wholeNumber(1), imageColumn: text, images: text },
  ...{ signal: abortSignal, onProgress: callback, onTruncate: callback },
};

const sourceKind: Kind = {
  wanted: "a path, { images } by id, or { texts }",
  fits: (value) =>
    typeof value === "string" ||
    (typeof value === "object" &&
      value !== null &&
      (("images" in value && value.images instanceof Map) || ("texts" in value && Array.isArray(value.texts)))),
};

/**
 * Embeds images or texts and writes their unit vectors as shards, `00000.parquet` and so on; yields each shard it wrote. Existing
 * shards are kept, so a second call continues the first. Skipped images are listed beside their shard, in `00000.skipped.jsonl`.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * for await (const { path, vectors } of embed(clip, "photos", { out: "vectors" })) console.log(path, vectors);
 * ```
 *
 * @param options - by default 10,000 images or texts a shard, in Parquet.
 * @throws {ClipError} `CLIP_USAGE` if the folder holds vectors of other items or another model; `CLIP_DATA` if the source
 *   holds no images; `CLIP_FILE` if the folder cannot be written.
 */
export async function* embed(
  encoder: ClipEncoder,
  source: EmbedSource,
  options: EmbedOptions,
): AsyncGenerator<EmbeddedShard> {
  checkKind("embed: the model", encoder, encoderKind);
  checkKind("embed: the source", source, sourceKind);
  checkOptions("embed", options, embedKinds, ["out"]);
  const { out, format = "parquet", shardSize = 10_000, rank, size, onProgress, signal } = options;
  const { imageColumn, images, onTruncate, ...reading } = options;
  const { maxImagePixels, orientation, jpegDecoder, timeoutMs } = reading;
  const given = typeof source === "string" ? await readImageSource(source, { imageColumn, images, signal }) : source;
  const described = { embedDim: encoder.embedDim, model: await modelChecksum(encoder) };
  const writing = { out, format, shardSize, rank, size, signal, onProgress };
  if ("texts" in given)
    yield* embedShards({ ...described, ...textEmbedding(encoder, given.texts, { signal, onTruncate }) }, writing);
  else {
    const decoding = { maxImagePixels, orientation, jpegDecoder, timeoutMs, signal };
    yield* embedShards({ ...described, ...imageEmbedding(encoder, given, decoding) }, writing);
  }
}

/**
 * Finds the images of a folder, of shards or of a table. The id of an image is its path relative to the source, with `/` between
 * folders.
 *
 * @throws {ClipError} `CLIP_DATA` if there are none.
 */
export async function readImageSource(source: string, options: ReadImagesOptions): Promise<ImagesToEmbed> {
  const { images, skipped } = await readImages(source, options);
  const base = extname(source) === "" ? resolve(source) : dirname(resolve(source));
  const idOf = (image: string) => {
    const path = relative(base, image).replaceAll("\\", "/");
    return path.startsWith("../") || image.includes("://") ? image : path;
  };
  return {
    images: new Map(images.map((location) => [idOf(location.image), lazyImage(location)])),
    unreadable: skipped.map(({ image, reason }) => ({ image: idOf(image), reason })),
  };
}

type NamedImage = readonly [id: string, image: ImageSource | LazyImage];
type Encoding<Item> = Omit<Embedding<Item>, "embedDim" | "model">;

function imageEmbedding(
  encoder: ClipEncoder,
  { images, unreadable }: ImagesToEmbed,
  decoding: DecodeOptions,
): Encoding<NamedImage> {
  async function* encode(some: readonly NamedImage[], skip: (item: SkippedImage) => void) {
    const onSkip: OnSkip = ({ message }, _, index) => skip({ image: some[index]![0], reason: message });
    let at = 0;
    const sources = some.map(([, image]) => image);
    for await (const vector of encoder.encodeImages(sources, { ...decoding, onSkip })) {
      const [id] = some[at++]!;
      if (vector) yield [id, vector] as const;
    }
  }
  return { items: [...images], unreadable, idOf: ([id]) => id, encode };
}

function textEmbedding(
  encoder: ClipEncoder,
  texts: readonly string[],
  { signal, onTruncate = () => undefined }: Pick<EmbedOptions, "signal" | "onTruncate">,
): Encoding<string> {
  async function* encode(some: readonly string[]) {
    let at = 0;
    for await (const vector of encoder.encodeTexts(some, { signal, onTruncate })) yield [some[at++]!, vector] as const;
  }
  return { items: texts, idOf: (text) => text, encode };
}
