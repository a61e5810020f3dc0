import { storedParameters } from "../checkpoints/load.ts";
import { clipParameters } from "../towers/parameters.ts";
import { towerMatrices } from "../towers/matrices.ts";
import { type QuantizedDtype, quantizedParameters } from "../checkpoints/quantize.ts";
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
  wholeNumber,
} from "../../core/options.ts";
import { concatenate, float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { input, type Tensor } from "../../engine/graph/tensor.ts";
import { decodeKinds, imageKind, type DecodeOptions, type ImageSource } from "../../inputs/image/image-source.ts";
import { useImage } from "../../inputs/image/decode.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import { type PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { type RasterImage } from "../../inputs/image/raster-image.ts";
import { type Clip, encodeImage, encodeText } from "../towers/clip.ts";
import { imageTower } from "../towers/image-tower.ts";
import { type ClipConfig } from "../towers/config.ts";
import type { NamedTensors } from "../../engine/runtime/ort-session.ts";
import { type CompileOptions, type RunOptions, Session } from "../../engine/runtime/session.ts";
import type { TextTokenizer, TokenizedTexts } from "../../inputs/text/tokenizer.ts";
import { imageBatchSize } from "./batch-size.ts";
import { batches, mapInOrder, oneAhead } from "../../core/streams.ts";
import { storedModel } from "../pretrained/model-files.ts";
import { readTokenizer, type StoredModel } from "../pretrained/model-folder.ts";
import { checkedVector, rowsOf } from "./vector.ts";
import { unknownWords } from "../pretrained/caption-words.ts";

/** A collection or a stream. */
export type Source<Item> = Iterable<Item> | AsyncIterable<Item>;

/** Options for encoding a stream. */
export interface EncodeOptions {
  /** Default 16, or for images fewer to keep a batch within 256 MiB. Larger batches need more memory and are hardly faster. */
  readonly batchSize?: number | undefined;
  /** Stops between batches. */
  readonly signal?: AbortSignal | undefined;
}

/** An image that is loaded when it is needed. */
export interface LazyImage {
  /** Its name in error messages. */
  readonly name: string;
  /** Returns its path, bytes or the like. Decoded pixels are not counted against the memory limit for images. */
  readonly load: () => ImageSource | Promise<ImageSource>;
  /** Overrides the stream's decoding options. */
  readonly decoding?: DecodeOptions | undefined;
}

/** Options for reading and encoding images. */
export interface EncodeImageOptions extends EncodeOptions, DecodeOptions {
  /**
   * Called for each unreadable image, in order; the stream continues with `undefined` in its place. Without it, the first such
   * image ends the stream with an error.
   */
  readonly onSkip?: OnSkip | undefined;
}

/** @param index - position of the image in the source, from 0. */
export type OnSkip = (error: ClipError, image: ImageSource | LazyImage, index: number) => void;

/** Options for encoding texts. */
export interface EncodeTextOptions extends EncodeOptions {
  /** Truncates texts that are too long, and is called with the dropped part; without it they are an error. */
  readonly onTruncate?: ((text: string, droppedText: string) => void) | undefined;
}

/** Options of {@link ClipEncoder.logits}. */
export interface LogitsOptions extends EncodeImageOptions, EncodeTextOptions {}

/** Options of {@link ClipEncoder}. */
export interface EncoderOptions extends Pick<CompileOptions, "device" | "onProgress" | "signal"> {
  /** Whether ONNX Runtime rearranges the weights for speed when a tower starts. Default true; false suits a handful of inputs. */
  readonly prepack?: boolean | undefined;
  /** Quantizes linear layers to 8 or 4 bits when a tower starts, to save memory. Vectors change slightly. Default: off. */
  readonly dtype?: QuantizedDtype | undefined;
}

const encodeKinds: OptionKinds<EncodeOptions> = { batchSize: wholeNumber(1), signal: abortSignal };
const encodeImageKinds: OptionKinds<EncodeImageOptions> = { ...encodeKinds, ...decodeKinds, onSkip: callback };
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
  readonly #model: StoredModel;
  #vision: Promise<Session> | undefined;
  #pool: Promise<Session> | undefined;
  #text: Promise<Session> | undefined;
  #tokenizer: Promise<TextTokenizer> | undefined;
  readonly #options: EncoderOptions;
  #released = false;

  /** @param model - from {@link readModel}; its weights stay on disk until a tower is needed. */
  constructor(model: StoredModel, options: EncoderOptions = {}) {
    checkKind("the model", model, storedModel);
    checkOptions(new.target.name, options, encoderKinds);
    this.#model = model;
    this.#options = { ...options };
    [this.path, this.config, this.preprocess] = [model.path, model.config, model.preprocess];
    [this.logitScale, this.logitBias] = [model.logitScale, model.logitBias];
  }

  /** Length of an embedding. */
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
    return this.#runImages("encodeImages", images, options, () => this.#visionSession());
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
    return this.#runImages("poolImages", images, options, () => this.#poolSession());
  }

  /** Yields one row of a session's output per image. */
  async *#runImages(
    of: string,
    images: Source<ImageSource | LazyImage>,
    options: EncodeImageOptions,
    open: () => Promise<Session>,
  ): AsyncGenerator<Float32Array | undefined> {
    checkKind(`${of}: images`, images, sourceOf("images"));
    checkOptions(of, options, encodeImageKinds);
    this.#refuseReleased();
    const { batchSize = imageBatchSize(this.config), signal, onSkip, ...decoding } = options;
    const { imageSize } = this.preprocess;
    let count = 0;
    const reading = { ...decoding, signal };
    const prepared = mapInOrder(images, (image) => this.#prepare(image, count++, reading, onSkip !== undefined));
    for await (const batch of oneAhead(batches(prepared, batchSize, signal))) {
      for (const { image, index, error } of batch) if (error) onSkip?.(error, image, index);
      const pixels = batch.flatMap(({ pixelValues }) => pixelValues ?? []);
      const pixelValues = float32(concatenate(pixels), [pixels.length, 3, imageSize, imageSize]);
      const outputs = pixels.length > 0 ? await this.#run(open, { pixelValues }, { move: true }) : {};
      const vectors = pixels.length > 0 ? rowsOf(outputs["vectors"]!) : [];
      let row = 0;
      for (const { error, index, image } of batch)
        yield error ? undefined : checkedVector(vectors[row++]!, () => nameOf(image, index));
    }
  }

  /** pixelValues of an image, or the error if it may be skipped. */
  async #prepare(image: ImageSource | LazyImage, index: number, decoding: DecodeOptions, maySkip: boolean) {
    checkKind(`image ${index}`, image, imageKind);
    try {
      const [source, options] = isLazy(image)
        ? [await load(image), { ...decoding, name: image.name, ...image.decoding }]
        : [image, decoding];
      const preprocess = (raster: RasterImage) => preprocessImage(raster, this.preprocess).pixelValues;
      return { image, index, pixelValues: await useImage(source, options, preprocess) };
    } catch (error) {
      if (!maySkip || !(error instanceof ClipError) || error.code === "CLIP_USAGE") throw error;
      return { image, index, error };
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
    this.#refuseReleased();
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
        const { textEmbeds } = await this.#run(() => this.#textSession(), {
          inputIds: int32(ids, [batch.length, length]),
          endOfText: int32(
            Int32Array.from(batch, (text) => endOfText[text]!),
            [batch.length],
          ),
        });
        for (const [row, embed] of rowsOf(textEmbeds!).entries()) {
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
    const scale = Math.exp(this.logitScale);
    if (!Number.isFinite(scale) || !Number.isFinite(this.logitBias))
      throw new ClipError("CLIP_RUNTIME", `the model's logit scale is ${scale}: its weights are damaged`);
    const logits: Float32Array[] = [];
    for await (const imageEmbed of this.#runImages("logits", images, imageOptions, () => this.#visionSession())) {
      const score = (textEmbed: Float32Array) =>
        imageEmbed ? scale * dot(imageEmbed, textEmbed) + this.logitBias : NaN;
      logits.push(Float32Array.from(textEmbeds, score));
    }
    return float32(concatenate(logits), [logits.length, textEmbeds.length]);
  }

  /** Words of a text that the training captions lack; none if the model has no list of them. */
  unknownWords(text: string): string[] {
    return this.#model.words ? unknownWords(text, this.#model.words) : [];
  }

  /** Runs a tower. The second check is needed because the model may be released while the tower starts. */
  async #run(open: () => Promise<Session>, feeds: NamedTensors, options?: RunOptions): Promise<NamedTensors> {
    this.#refuseReleased();
    const session = await open();
    this.#refuseReleased();
    return session.run(feeds, options);
  }

  // A failed promise is dropped, so that the next call tries again.
  #visionSession(): Promise<Session> {
    const session = (this.#vision ??= this.#compileVision(encodeImage));
    session.catch(() => (this.#vision = undefined));
    return session;
  }

  #poolSession(): Promise<Session> {
    const session = (this.#pool ??= this.#compileVision((p, ...rest) => imageTower(p.vision, ...rest).pooled));
    session.catch(() => (this.#pool = undefined));
    return session;
  }

  #textSession(): Promise<Session> {
    const session = (this.#text ??= this.#compileText());
    session.catch(() => (this.#text = undefined));
    return session;
  }

  #readTokenizer(): Promise<TextTokenizer> {
    const tokenizer = (this.#tokenizer ??= readTokenizer(this.#model));
    tokenizer.catch(() => (this.#tokenizer = undefined));
    return tokenizer;
  }

  async #compileVision(tower: (p: Clip, config: ClipConfig, pixelValues: Tensor) => Tensor): Promise<Session> {
    const { config } = this;
    const { imageSize } = config.vision;
    const parameters = await this.#parameters("vision");
    const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
    return Session.compile({ vectors: tower(parameters, config, pixelValues) }, this.#compileOptions);
  }

  async #compileText(): Promise<Session> {
    const { config } = this;
    const parameters = await this.#parameters("text");
    const inputIds = input("inputIds", ["texts", "length"], "int32");
    const endOfText = input("endOfText", ["texts"], "int32");
    const textEmbeds = encodeText(parameters, config, { inputIds, endOfText });
    return Session.compile({ textEmbeds }, this.#compileOptions);
  }

  async #parameters(tower: "vision" | "text"): Promise<Clip> {
    const { config, parameters } = this.#model;
    const { dtype } = this.#options;
    return dtype
      ? quantizedParameters(clipParameters(config), parameters, towerMatrices(config, tower), dtype)
      : storedParameters(clipParameters(config), parameters);
  }

  /** Quantized weights are always prepacked: otherwise the kernels expand them to float32 in every run. */
  get #compileOptions(): CompileOptions {
    const { dtype, ...options } = this.#options;
    return dtype ? { ...options, prepack: true } : options;
  }

  #refuseReleased(): void {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this model was released; load it again");
  }

  /** Frees the memory of both towers. */
  async release(): Promise<void> {
    this.#released = true;
    // If one tower fails to end, the others are still released.
    const ended = await Promise.allSettled(
      [this.#vision, this.#pool, this.#text].map(async (compiling) =>
        (await compiling?.catch(() => undefined))?.release(),
      ),
    );
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
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

function isLazy(image: ImageSource | LazyImage): image is LazyImage {
  return typeof image === "object" && image !== null && "load" in image && typeof image.load === "function";
}

async function load({ name, load }: LazyImage): Promise<ImageSource> {
  try {
    return await load();
  } catch (cause) {
    if (cause instanceof ClipError) throw cause;
    throw new ClipError("CLIP_IMAGE", `${name} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
}

/** Name of an image in messages. */
function nameOf(image: ImageSource | LazyImage, index: number): string {
  if (typeof image === "string") return `image ${index} (${image.slice(0, 200)})`;
  return isLazy(image) ? `image ${index} (${image.name})` : `image ${index}`;
}
