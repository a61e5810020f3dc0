import { ClipError } from "../../core/errors.ts";
import {
  abortSignal,
  callback,
  checkKind,
  checkOptions,
  flag,
  type Kind,
  oneOf,
  type OptionKinds,
  sourceOf,
  text,
} from "../../core/options.ts";
import { batches, oneAhead, type Source } from "../../core/streams.ts";
import { concatenate, float32, int32, type TensorData } from "../../core/tensor-data.ts";
import type { ImageSource } from "../../inputs/image/image-source.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import type { TextTokenizer, TokenizedTexts } from "../../inputs/text/tokenizer.ts";
import { unknownWords } from "../pretrained/caption-words.ts";
import { storedModel } from "../pretrained/model-files.ts";
import { readTokenizer, type StoredModel } from "../pretrained/model-folder.ts";
import type { QuantizedDtype } from "../checkpoints/quantize.ts";
import type { ClipConfig } from "../towers/config.ts";
import { imageBatchSize } from "./batch-size.ts";
import { CompiledTowers, type EncoderOptions } from "./compiled-towers.ts";
import {
  type EncodeImageOptions,
  encodeImageKinds,
  encodeKinds,
  type EncodeOptions,
  type LazyImage,
  imageName,
  prepareImages,
} from "./image-stream.ts";
import { logitOf } from "./logits.ts";
import { checkedVector, rowsOf } from "./vector.ts";

export interface EncodeTextOptions extends EncodeOptions {
  /** Truncates texts that are too long, and is called with the dropped part; without it they are an error. */
  readonly onTruncate?: ((text: string, droppedText: string) => void) | undefined;
}

export interface LogitsOptions extends EncodeImageOptions, EncodeTextOptions {}

const encodeTextKinds: OptionKinds<EncodeTextOptions> = { ...encodeKinds, onTruncate: callback };
const logitsKinds: OptionKinds<LogitsOptions> = { ...encodeTextKinds, ...encodeImageKinds };
export const encoderKinds: OptionKinds<EncoderOptions> = {
  ...{ prepack: flag, dtype: oneOf("q8", "q4"), device: oneOf("cpu", "webgpu") },
  ...{ onProgress: callback, signal: abortSignal },
};

const textBatchSize = 16;
/** Number of text batches that are sorted by length together. */
const sortedBatches = 64;

/**
 * Encodes images and texts as unit vectors of one space. Each tower is compiled on first use, so a program that only encodes
 * images never loads the text tower. Declare it with `await using` to free the memory.
 */
export class ClipEncoder implements AsyncDisposable {
  /** Folder or file that the model was read from. */
  readonly path: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** Log of the scale applied to cosine similarities. */
  readonly logitScale: number;
  /** Logit bias; 0 unless the model is SigLIP-style. */
  readonly logitBias: number;
  /** The model as {@link readModel} returned it. */
  readonly stored: StoredModel;
  /** Bits to which weights are rounded; undefined where they are as they are. */
  readonly dtype: QuantizedDtype | undefined;
  readonly #towers: CompiledTowers;
  #tokenizer: Promise<TextTokenizer> | undefined;

  /** @param model - from {@link readModel}; its weights stay on disk until a tower is needed. */
  constructor(model: StoredModel, options: EncoderOptions = {}) {
    checkKind("the model", model, storedModel);
    checkOptions(new.target.name, options, encoderKinds);
    this.stored = model;
    this.dtype = options.dtype;
    this.#towers = new CompiledTowers(model, { ...options });
    this.path = model.path;
    this.config = model.config;
    this.preprocess = model.preprocess;
    this.logitScale = model.logitScale;
    this.logitBias = model.logitBias;
  }

  get embedDim(): number {
    return this.config.embedDim;
  }

  /**
   * Yields the embedding of each image, float32 [embedDim] of length 1, in order. While a batch is encoded, the next is read,
   * four images at a time; memory does not depend on the number of images.
   *
   * @throws {ClipError} `CLIP_IMAGE` at an unreadable image, unless `onSkip` is given; `CLIP_RUNTIME` if a vector is not finite;
   *   `CLIP_USAGE` if the model was released.
   */
  encodeImages(
    images: Source<ImageSource | LazyImage>,
    options?: EncodeImageOptions & { readonly onSkip?: undefined },
  ): AsyncGenerator<Float32Array>;
  encodeImages(
    images: Source<ImageSource | LazyImage>,
    options: EncodeImageOptions,
  ): AsyncGenerator<Float32Array | undefined>;
  encodeImages(images: Source<ImageSource | LazyImage>, options: EncodeImageOptions = {}) {
    return this.#runImages("encodeImages", images, options, "images");
  }

  /**
   * Yields each image's vector before the projection, for linear probes: float32, not normalized. For a ViT it is the class
   * token after the last layer norm, [width]; for a ResNet the attention pool's output, [embedDim]; for pooling over all places
   * the input of the last layer; for SigLIP, which has no projection, the features.
   *
   * @throws {ClipError} see {@link encodeImages}.
   */
  poolImages(
    images: Source<ImageSource | LazyImage>,
    options?: EncodeImageOptions & { readonly onSkip?: undefined },
  ): AsyncGenerator<Float32Array>;
  poolImages(
    images: Source<ImageSource | LazyImage>,
    options: EncodeImageOptions,
  ): AsyncGenerator<Float32Array | undefined>;
  poolImages(images: Source<ImageSource | LazyImage>, options: EncodeImageOptions = {}) {
    return this.#runImages("poolImages", images, options, "pooledImages");
  }

  async *#runImages(
    of: string,
    images: Source<ImageSource | LazyImage>,
    options: EncodeImageOptions,
    program: "images" | "pooledImages",
  ): AsyncGenerator<Float32Array | undefined> {
    checkKind(`${of}: images`, images, sourceOf("images"));
    checkOptions(of, options, encodeImageKinds);
    this.#towers.refuseReleased();
    const { batchSize = imageBatchSize(this.config), signal, onSkip, ...decoding } = options;
    const { imageSize } = this.preprocess;
    const prepared = prepareImages(images, this.preprocess, { ...decoding, signal }, onSkip !== undefined);
    for await (const batch of oneAhead(batches(prepared, batchSize, signal))) {
      for (const { image, index, error } of batch) if (error) onSkip?.(error, image, index);
      const pixels = batch.flatMap(({ pixelValues }) => pixelValues ?? []);
      const pixelValues = float32(concatenate(pixels), [pixels.length, 3, imageSize, imageSize]);
      const vectors = pixels.length > 0 ? rowsOf(await this.#towers.run(program, { pixelValues }, { move: true })) : [];
      let row = 0;
      for (const { error, index, image } of batch)
        yield error ? undefined : checkedVector(vectors[row++]!, () => imageName(image, index));
    }
  }

  /**
   * Yields the embedding of each text, float32 [embedDim] of length 1, in order. With a causal text tower, texts of similar
   * length are batched and padded only to the longest of them.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text is too long and `onTruncate` is missing; `CLIP_CONFIG` if the vocabulary does not fit
   *   the model; `CLIP_RUNTIME` if a vector is not finite; `CLIP_USAGE` if the model was released.
   */
  async *encodeTexts(texts: Source<string>, options: EncodeTextOptions = {}): AsyncGenerator<Float32Array> {
    checkKind("encodeTexts: texts", texts, sourceOf("strings"));
    checkOptions("encodeTexts", options, encodeTextKinds);
    this.#towers.refuseReleased();
    const { batchSize = textBatchSize, signal, onTruncate } = options;
    const tokenizer = await this.#readTokenizer();
    const { contextLength, pool } = this.config.text;
    let before = 0;
    for await (const group of batches(texts, batchSize * sortedBatches, signal)) {
      for (const [i, item] of group.entries()) checkKind(`encodeTexts: text ${before + i}`, item, text);
      const { inputIds, endOfText, truncated } = tokenizer.tokenize(group, { contextLength, truncate: !!onTruncate });
      if (pool === "last") endOfText.fill(contextLength - 1);
      for (const { index, droppedText } of truncated) onTruncate?.(group[index]!, droppedText);
      const embeds: Float32Array[] = [];
      for (const batch of this.#byLength(endOfText, batchSize)) {
        signal?.throwIfAborted();
        const length = this.#textLength(Math.max(...batch.map((text) => endOfText[text]!)) + 1);
        const ids = batch.flatMap((text) => [
          ...inputIds.subarray(text * contextLength, text * contextLength + length),
        ]);
        const textEmbeds = await this.#towers.run("texts", {
          inputIds: int32(ids, [batch.length, length]),
          endOfText: int32(
            Int32Array.from(batch, (text) => endOfText[text]!),
            [batch.length],
          ),
        });
        for (const [row, embed] of rowsOf(textEmbeds).entries()) {
          const text = batch[row]!;
          embeds[text] = checkedVector(
            embed,
            () => `text ${before + text} (${JSON.stringify(group[text]!.slice(0, 60))})`,
          );
        }
      }
      before += group.length;
      yield* embeds;
    }
  }

  /**
   * Input ids of texts, padded to the context length. Texts that are too long are truncated and listed in `truncated`.
   *
   * @throws {ClipError} `CLIP_CONFIG` if the vocabulary does not fit the model.
   */
  async tokenize(texts: readonly string[]): Promise<TokenizedTexts> {
    const tokenizer = await this.#readTokenizer();
    return tokenizer.tokenize(texts, { contextLength: this.config.text.contextLength, truncate: true });
  }

  /** Indices of texts in batches of similar length. */
  #byLength(endOfText: Int32Array, batchSize: number): number[][] {
    const order = Array.from(endOfText.keys()).sort((a, b) => endOfText[a]! - endOfText[b]!);
    return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) =>
      order.slice(i * batchSize, (i + 1) * batchSize),
    );
  }

  /** Number of tokens to compute for a text: with a causal mask, the padding can be left out. */
  #textLength(tokens: number): number {
    const { causal = true, contextLength } = this.config.text;
    return causal ? tokens : contextLength;
  }

  /**
   * Logits of every image with every text, [I, T]. A softmax over a row compares texts for an image, over a column images for a
   * text; for a SigLIP-style model apply a sigmoid to each. With `onSkip`, rows of unreadable images are NaN.
   */
  async logits(
    images: Source<ImageSource | LazyImage>,
    texts: Source<string>,
    options: LogitsOptions = {},
  ): Promise<TensorData<"float32">> {
    checkKind("logits: images", images, sourceOf("images"));
    checkOptions("logits", options, logitsKinds);
    const { onTruncate, ...imageOptions } = options;
    const { batchSize, signal } = options;
    const textEmbeds = await collect(this.encodeTexts(texts, { batchSize, signal, onTruncate }));
    const logit = logitOf(this);
    const logits: Float32Array[] = [];
    for await (const imageEmbed of this.#runImages("logits", images, imageOptions, "images")) {
      const score = (textEmbed: Float32Array) => (imageEmbed ? logit(dot(imageEmbed, textEmbed)) : NaN);
      logits.push(Float32Array.from(textEmbeds, score));
    }
    return float32(concatenate(logits), [logits.length, textEmbeds.length]);
  }

  /** Words of a text that the training captions lack; none if the model has no list of them. */
  unknownWords(text: string): string[] {
    return this.stored.words ? unknownWords(text, this.stored.words) : [];
  }

  #readTokenizer(): Promise<TextTokenizer> {
    const tokenizer = (this.#tokenizer ??= readTokenizer(this.stored));
    tokenizer.catch(() => (this.#tokenizer = undefined));
    return tokenizer;
  }

  /** Frees the memory of both towers. */
  release(): Promise<void> {
    return this.#towers.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** An encoder as an argument. */
export const encoderKind: Kind = {
  wanted: "a model from loadClip, or a ClipEncoder",
  fits: (value) => value instanceof ClipEncoder,
};

/**
 * Dot product: for unit vectors, their cosine.
 *
 * @throws {ClipError} `CLIP_USAGE` if the lengths differ.
 */
export function dot(a: Float32Array, b: Float32Array): number {
  if (!(a?.length === b?.length))
    throw new ClipError(
      "CLIP_USAGE",
      `dot takes two vectors of the same length, got ${a?.length} and ${b?.length} numbers`,
    );
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Collects a stream into an array. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  checkKind("collect: items", items, sourceOf("items"));
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
