import { createHash } from "node:crypto";
import { dirname, extname, relative, resolve } from "node:path";
import { readParameter } from "../../model/checkpoints/load.ts";
import { encodeReadable } from "../../model/embedding/encode-readable.ts";
import type { ClipEncoder, LazyImage } from "../../model/embedding/encoder.ts";
import type { StoredModel } from "../../model/pretrained/model-folder.ts";
import type { DecodeOptions } from "../../inputs/image/image-source.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import type { ImageLocation } from "../../inputs/data/image-location.ts";
import type { readImages } from "../../inputs/data/pairs.ts";
import type { Embedding } from "./embed-shards.ts";

/** How items are encoded. */
export interface EmbeddingOptions extends DecodeOptions {
  /** As {@link checksumOf} gives it. */
  readonly model: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Images to embed, each named by its path from the source, with `/` between folders.
 *
 * @param source - the folder that they were read from, or the file.
 */
export function locatedImageEmbedding(
  encoder: ClipEncoder,
  { images: locations, skipped }: Awaited<ReturnType<typeof readImages>>,
  source: string,
  { model, signal, ...decoding }: EmbeddingOptions,
): Embedding<ImageLocation> {
  const base = extname(source) === "" ? resolve(source) : dirname(resolve(source));
  const idOf = ({ image }: { readonly image: string }) => {
    const path = relative(base, image).replaceAll("\\", "/");
    return path.startsWith("../") || image.includes("://") ? image : path;
  };
  const withId = ({ image, reason }: SkippedImage) => ({ image: idOf({ image }), reason });
  async function* encode(some: readonly ImageLocation[], skip: (skipped: SkippedImage) => void) {
    const onSkip = (skipped: SkippedImage) => skip(withId(skipped));
    for await (const [location, vector] of encodeReadable(encoder, some, { ...decoding, signal, onSkip }))
      yield [idOf(location), vector] as const;
  }
  const unreadable = skipped.map(withId);
  return { items: locations, unreadable, idOf, encode, embedDim: encoder.embedDim, model };
}

/** One image to embed, named by the SHA-256 of its file. */
export function imageEmbedding(
  encoder: ClipEncoder,
  image: LazyImage & { readonly bytes: Uint8Array },
  { model, signal }: EmbeddingOptions,
): Embedding<string> {
  async function* encode([id]: readonly string[]) {
    for await (const vector of encoder.encodeImages([image], { signal })) yield [id!, vector] as const;
  }
  const id = `sha256:${createHash("sha256").update(image.bytes).digest("hex")}`;
  return { items: [id], idOf: (id) => id, encode, embedDim: encoder.embedDim, model };
}

/** Texts to embed, each its own name; those that are too long are cut, as is usual, and `onTruncate` is told. */
export function textEmbedding(
  encoder: ClipEncoder,
  texts: readonly string[],
  { model, signal, onTruncate }: EmbeddingOptions & { readonly onTruncate: (text: string) => void },
): Embedding<string> {
  async function* encode(some: readonly string[]) {
    let at = 0;
    for await (const vector of encoder.encodeTexts(some, { signal, onTruncate })) yield [some[at++]!, vector] as const;
  }
  return { items: texts, idOf: (text) => text, encode, embedDim: encoder.embedDim, model };
}

/** Equal for models that give the same vectors: of every weight, and of how images are prepared. */
export async function checksumOf(
  { config, preprocess, parameters }: StoredModel,
  dtype: string | undefined,
): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify({ config, preprocess, dtype }));
  for (const [path, parameter] of parameters) {
    const { data } = "parts" in parameter ? await readParameter(parameter) : parameter;
    hash.update(path).update(data);
  }
  return hash.digest("hex");
}
