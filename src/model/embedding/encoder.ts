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
import { unknownWords } from "../pretrained/known-words.ts";

/** Several, in memory or as they come. */
export type Source<Item> = Iterable<Item> | AsyncIterable<Item>;

/** How a stream is encoded. */
export interface EncodeOptions {
  /**
   * How many are encoded at once. Memory grows with it; speed hardly, beyond the default: 16, of images fewer if a batch of them would
   * take more than 256 MiB.
   */
  readonly batchSize?: number | undefined;
  /** Stops between batches. */
  readonly signal?: AbortSignal | undefined;
}

/** An image that is read when its turn comes, from wherever it lies. */
export interface LazyImage {
  /** What errors call it. */
  readonly name: string;
  /** Its path, its bytes or the like: pixels that are decoded already are outside of the limit of memory for images. */
  readonly load: () => ImageSource | Promise<ImageSource>;
  /** How it is decoded, where that differs from the rest of the stream. */
  readonly decoding?: DecodeOptions | undefined;
}

/** How images are read and encoded. */
export interface EncodeImageOptions extends EncodeOptions, DecodeOptions {
  /**
   * Is told of each image that cannot be read, in order. The stream then goes on, and yields `undefined` in that image's
   * place, so that vector i is always of image i. Without it the first such image ends the stream with its error.
   */
  readonly onSkip?: OnSkip | undefined;
}

/** @param index - the image's place in the source, from 0. */
export type OnSkip = (error: ClipError, image: ImageSource | LazyImage, index: number) => void;

/** How texts are encoded. */
export interface EncodeTextOptions extends EncodeOptions {
  /** Cuts texts that are too long, and is told what each lost; without it such a text is an error. */
  readonly onTruncate?: ((text: string, droppedText: string) => void) | undefined;
}

/** How {@link ClipEncoder.logits} reads and encodes. */
export interface LogitsOptions extends EncodeImageOptions, EncodeTextOptions {}

/** How a {@link ClipEncoder} computes. */
export interface EncoderOptions extends Pick<CompileOptions, "device" | "onProgress" | "signal"> {
  /** Whether ONNX Runtime arranges the weights for speed when a tower starts. Default true. */
  readonly prepack?: boolean | undefined;
  /**
   * Rounds the matrices of the linear layers to 8 or 4 bits when a tower starts, for memory: the vectors then differ a little from
   * those of the weights as they are, which is the default.
   */
  readonly dtype?: QuantizedDtype | undefined;
}

export const encodeKinds: OptionKinds<EncodeOptions> = { batchSize: wholeNumber(1), signal: abortSignal };
const encodeImageKinds: OptionKinds<EncodeImageOptions> = { ...encodeKinds, ...decodeKinds, onSkip: callback };
const encodeTextKinds: OptionKinds<EncodeTextOptions> = { ...encodeKinds, onTruncate: callback };
const logitsKinds: OptionKinds<LogitsOptions> = { ...encodeTextKinds, ...encodeImageKinds };
export const encoderKinds: OptionKinds<EncoderOptions> = {
  ...{ prepack: flag, dtype: oneOf("q8", "q4"), device: oneOf("cpu", "webgpu") },
  ...{ onProgress: callback, signal: abortSignal },
};

const textBatchSize = 16;
/** Batches of texts that are sorted by length together. */
const sortedBatches = 64;

/**
 * Turns images and texts into unit vectors of one space. Each tower is compiled when it is first needed, so a program
 * that only reads images never loads the text tower. `await using` gives the memory back.
 */
export class ClipEncoder implements AsyncDisposable {
  /** The folder or file the model was read from. */
  readonly path: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** Log of the scale applied to cosine similarities. */
  readonly logitScale: number;
  /** Logit bias; 0 unless the model is SigLIP-style. */
  readonly logitBias: number;
  /** The model as {@link readModel} returned it. */
  readonly stored: StoredModel;
  #vision: Promise<Session> | undefined;
  #pool: Promise<Session> | undefined;
  #text: Promise<Session> | undefined;
  #tokenizer: Promise<TextTokenizer> | undefined;
  readonly #options: EncoderOptions;
  #released = false;

  /**
   * @param model - from {@link readModel}; its weights stay on disk until a tower is needed.
   * @param options - `prepack: false` for a handful of images and texts: the towers start sooner, and each batch takes longer;
   *   `dtype` for weights of few bits.
   */
  constructor(model: StoredModel, options: EncoderOptions = {}) {
    checkKind("the model", model, storedModel);
    checkOptions(new.target.name, options, encoderKinds);
    this.stored = model;
    this.#options = { ...options };
    [this.path, this.config, this.preprocess] = [model.path, model.config, model.preprocess];
    [this.logitScale, this.logitBias] = [model.logitScale, model.logitBias];
  }

  /** The bits that weights are rounded to; undefined where they are not. */
  get dtype(): QuantizedDtype | undefined {
    return this.#options.dtype;
  }

  /** Numbers in an embedding. */
  get embedDim(): number {
    return this.config.embedDim;
  }

  /**
   * Yields the embedding of each image, float32 [embedDim] of length 1, in the order given. While a batch
   * is encoded the next is read, four images at a time; memory stays at these however many there are.
   *
   * @throws {ClipError} `CLIP_IMAGE` at an image that cannot be read, unless `onSkip` is there to be told; `CLIP_RUNTIME` if a
   *   vector is not finite; `CLIP_USAGE` if the model was released.
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
   * Yields of each image the vector before the projection, float32 and of any length, which is what linear probes read: of a
   * ViT the class token behind the last layer norm [width], of a ResNet the output of the attention pool [embedDim]. Where the
   * features are read from all places it is what the last layer reads, and where there is no projection (SigLIP) the features.
   *
   * @throws {ClipError} as {@link encodeImages} does.
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

  /** One row of what a session makes of pixelValues for each image. */
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

  /** What the image tower reads of an image; or, if it may be skipped, why there is nothing. */
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
   * Yields the embedding of each text, float32 [embedDim] of length 1, in the order given. Where a token sees only those
   * before it, what is behind the end of a text changes nothing: texts of about the same length are encoded together, without
   * padding.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text has more tokens than the model reads and is not to be cut; `CLIP_CONFIG` if the model has no
   *   vocabulary of its size; `CLIP_RUNTIME` if a vector is not finite; `CLIP_USAGE` if the model was released.
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
   * The tokens of texts as the text tower reads them, padded to the context length. A text that is too long is cut; `truncated` says so.
   *
   * @throws {ClipError} `CLIP_CONFIG` if the model has no vocabulary of its size.
   */
  async tokenize(texts: readonly string[]): Promise<TokenizedTexts> {
    const tokenizer = await this.#readTokenizer();
    return tokenizer.tokenize(texts, { contextLength: this.config.text.contextLength, truncate: true });
  }

  /** Numbers of texts in batches, those of about the same length together. */
  #byLength(endOfText: Int32Array, batchSize: number): number[][] {
    const order = Array.from(endOfText.keys()).sort((a, b) => endOfText[a]! - endOfText[b]!);
    return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) =>
      order.slice(i * batchSize, (i + 1) * batchSize),
    );
  }

  /** How many tokens of a text of this length must be computed. */
  #textLength(tokens: number): number {
    const { causal = true, contextLength } = this.config.text;
    return causal ? tokens : contextLength;
  }

  /**
   * The scaled cosines of every image with every text, `logitsPerImage` [I, T]; their softmax along a row says which
   * text fits the image, along a column which image fits the text; of a model trained with sigmoids, the sigmoid of each
   * says how well the two fit. With `onSkip` the row of an image that cannot be read is NaN.
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
      throw new ClipError("CLIP_RUNTIME", `the model's scale of its cosines is ${scale}: its weights are damaged`);
    const logits: Float32Array[] = [];
    for await (const imageEmbed of this.#runImages("logits", images, imageOptions, () => this.#visionSession())) {
      const score = (textEmbed: Float32Array) =>
        imageEmbed ? scale * dot(imageEmbed, textEmbed) + this.logitBias : NaN;
      logits.push(Float32Array.from(textEmbeds, score));
    }
    return float32(concatenate(logits), [logits.length, textEmbeds.length]);
  }

  /** The words of a text that the model was not trained on; none if the model does not know which these are. */
  unknownWords(text: string): string[] {
    return this.stored.words ? unknownWords(text, this.stored.words) : [];
  }

  /** Runs a tower; between the last look at whether the model was released and the run nothing can come. */
  async #run(open: () => Promise<Session>, feeds: NamedTensors, options?: RunOptions): Promise<NamedTensors> {
    this.#refuseReleased();
    const session = await open();
    this.#refuseReleased();
    return session.run(feeds, options);
  }

  // What failed is tried again by the next call: a network may be back by then.
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
    const tokenizer = (this.#tokenizer ??= readTokenizer(this.stored));
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
    const { config, parameters } = this.stored;
    const { dtype } = this.#options;
    return dtype
      ? quantizedParameters(clipParameters(config), parameters, towerMatrices(config, tower), dtype)
      : storedParameters(clipParameters(config), parameters);
  }

  /** Codes are arranged in any case: the kernels widen others to float32 again for every run. */
  get #compileOptions(): CompileOptions {
    const { dtype, ...options } = this.#options;
    return dtype ? { ...options, prepack: true } : options;
  }

  #refuseReleased(): void {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this model was released; load it again");
  }

  /** Gives the memory of both towers back. */
  async release(): Promise<void> {
    this.#released = true;
    // One tower's end must not keep the other's from coming.
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
  wanted: "a model as loadClip gives it, or a ClipEncoder",
  fits: (value) => value instanceof ClipEncoder,
};

/**
 * Σ aᵢ bᵢ: of unit vectors, their cosine.
 *
 * @throws {ClipError} `CLIP_USAGE` if the two are not of the same length.
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

/** All that a generator yields, where that is known to be few. */
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

/** An image of a stream as messages call it. */
function nameOf(image: ImageSource | LazyImage, index: number): string {
  if (typeof image === "string") return `image ${index} (${image.slice(0, 200)})`;
  return isLazy(image) ? `image ${index} (${image.name})` : `image ${index}`;
}
