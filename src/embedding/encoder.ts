import { storedParameters } from "../checkpoints/load.ts";
import { type QuantizedDtype, quantizedParameters } from "../checkpoints/quantize.ts";
import { ClipError } from "../core/errors.ts";
import { concatenate, float32, int32, type TensorData } from "../core/tensor-data.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import {
  decodeImage,
  type DecodeOptions,
  type ImageSource,
  preprocessImage,
  type PreprocessConfig,
} from "../image/index.ts";
import { type Clip, type ClipConfig, encodeImage, encodeText, poolImage } from "../models/index.ts";
import { l2Normalize } from "../nn/index.ts";
import { type CompileOptions, Session } from "../runtime/session.ts";
import type { TextTokenizer, TokenizedTexts } from "../text/index.ts";
import { imageBatchSize } from "./batch-size.ts";
import { batches, mapInOrder, oneAhead } from "./batches.ts";
import { readTokenizer, type StoredModel } from "./model-folder.ts";
import { unknownWords } from "./words.ts";

/** Several, in memory or as they come. */
export type Source<Item> = Iterable<Item> | AsyncIterable<Item>;

/** How a stream is encoded. */
export interface EncodeOptions {
  /**
   * How many are encoded at once. Memory grows with it; speed hardly, beyond the default: 16, of pictures fewer if a batch of them would
   * take more than 256 MiB.
   */
  readonly batchSize?: number | undefined;
  /** Stops between batches. */
  readonly signal?: AbortSignal | undefined;
}

/** How texts are encoded. */
export interface EncodeTextOptions extends EncodeOptions {
  /** Cuts texts that are too long, and is told what each lost; without it such a text is an error. */
  readonly onTruncate?: ((text: string, droppedText: string) => void) | undefined;
}

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

const textBatchSize = 16;
/** Batches of texts that are sorted by length together. */
const sortedBatches = 64;

/**
 * Turns pictures and texts into unit vectors of one space. Each tower is compiled when it is first needed, so a program
 * that only reads pictures never loads the text tower. `await using` gives the memory back.
 */
export class ClipEncoder implements AsyncDisposable {
  /** The folder or file the model was read from. */
  readonly path: string;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** What cosines are multiplied with before a softmax, as a logarithm. */
  readonly logitScale: number;
  /** What is added then; 0 unless the model was trained with sigmoids. */
  readonly logitBias: number;
  readonly #model: StoredModel;
  #vision: Promise<Session> | undefined;
  #pool: Promise<Session> | undefined;
  #text: Promise<Session> | undefined;
  #tokenizer: Promise<TextTokenizer> | undefined;
  readonly #options: EncoderOptions;
  #released = false;

  /**
   * @param model - from {@link readModel}; its weights stay on disk until a tower is needed.
   * @param options - `prepack: false` for a handful of pictures and texts: the towers start sooner, and each batch takes longer;
   *   `dtype` for weights of few bits.
   */
  constructor(model: StoredModel, { prepack, dtype, device, onProgress, signal }: EncoderOptions = {}) {
    this.#model = model;
    this.#options = { prepack, dtype, device, onProgress, signal };
    [this.path, this.config, this.preprocess] = [model.path, model.config, model.preprocess];
    [this.logitScale, this.logitBias] = [model.logitScale, model.logitBias];
  }

  /** Numbers in an embedding. */
  get embedDim(): number {
    return this.config.embedDim;
  }

  /**
   * Yields the embedding of each picture, float32 [embedDim] of length 1, in the order given. While a batch
   * is encoded the next is read, four pictures at a time; memory stays at these however many there are.
   *
   * @throws {ClipError} `CLIP_IMAGE` at a picture that cannot be read.
   */
  async *encodeImages(
    images: Source<ImageSource>,
    options: EncodeOptions & DecodeOptions = {},
  ): AsyncGenerator<Float32Array> {
    yield* this.#runImages(images, options, () => this.#visionSession());
  }

  /**
   * Yields of each picture the vector before the projection, float32 and of any length, which is what linear probes read: of a
   * ViT the class token behind the last layer norm [width], of a ResNet the output of the attention pool [embedDim]. Where the
   * features are read from all places it is what the last layer reads, and where there is no projection (SigLIP) the features.
   *
   * @throws {ClipError} as {@link encodeImages} does.
   */
  async *poolImages(
    images: Source<ImageSource>,
    options: EncodeOptions & DecodeOptions = {},
  ): AsyncGenerator<Float32Array> {
    yield* this.#runImages(images, options, () => this.#poolSession());
  }

  /** One row of what a session makes of pixelValues for each picture. */
  async *#runImages(
    images: Source<ImageSource>,
    { batchSize = imageBatchSize(this.config), signal, ...decoding }: EncodeOptions & DecodeOptions,
    open: () => Promise<Session>,
  ): AsyncGenerator<Float32Array> {
    checkSource(images, batchSize);
    const { imageSize } = this.preprocess;
    const preprocessed = mapInOrder(
      images,
      async (image) => preprocessImage(await decodeImage(image, decoding), this.preprocess).pixelValues,
    );
    for await (const batch of oneAhead(batches(preprocessed, batchSize, signal))) {
      const session = await open();
      const pixelValues = float32(concatenate(batch), [batch.length, 3, imageSize, imageSize]);
      const { vectors } = await session.run({ pixelValues }, { move: true });
      yield* rows(vectors!);
    }
  }

  /**
   * Yields the embedding of each text, float32 [embedDim] of length 1, in the order given. Where a token sees only those
   * before it, what is behind the end of a text changes nothing: texts of about the same length are encoded together, without
   * padding.
   *
   * @throws {ClipError} `CLIP_TEXT` if a text has more tokens than the model reads and is not to be cut; `CLIP_CONFIG` if the model has no
   *   vocabulary of its size.
   */
  async *encodeTexts(
    texts: Source<string>,
    { batchSize = textBatchSize, signal, onTruncate }: EncodeTextOptions = {},
  ): AsyncGenerator<Float32Array> {
    checkSource(texts, batchSize);
    const tokenizer = await this.#readTokenizer();
    const { contextLength, pool } = this.config.text;
    for await (const group of batches(texts, batchSize * sortedBatches, signal)) {
      const { inputIds, endOfText, truncated } = tokenizer.tokenize(group, { contextLength, truncate: !!onTruncate });
      if (pool === "last") endOfText.fill(contextLength - 1);
      for (const { index, droppedText } of truncated) onTruncate?.(group[index]!, droppedText);
      const session = await this.#textSession();
      const embeds: Float32Array[] = [];
      for (const batch of this.#byLength(endOfText, batchSize)) {
        signal?.throwIfAborted();
        const length = this.#textLength(Math.max(...batch.map((text) => endOfText[text]!)) + 1);
        const ids = batch.flatMap((text) => [
          ...inputIds.subarray(text * contextLength, text * contextLength + length),
        ]);
        const { textEmbeds } = await session.run({
          inputIds: int32(ids, [batch.length, length]),
          endOfText: int32(
            Int32Array.from(batch, (text) => endOfText[text]!),
            [batch.length],
          ),
        });
        let row = 0;
        for (const embed of rows(textEmbeds!)) embeds[batch[row++]!] = embed;
      }
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
   * The scaled cosines of every picture with every text, `logitsPerImage` [I, T]; their softmax along a row says which
   * text fits the picture, along a column which picture fits the text; of a model trained with sigmoids, the sigmoid of each
   * says how well the two fit.
   */
  async logits(
    images: Source<ImageSource>,
    texts: Source<string>,
    options: EncodeTextOptions & DecodeOptions = {},
  ): Promise<TensorData<"float32">> {
    const textEmbeds = await collect(this.encodeTexts(texts, options));
    const scale = Math.exp(this.logitScale);
    const logits: Float32Array[] = [];
    for await (const imageEmbed of this.encodeImages(images, options))
      logits.push(Float32Array.from(textEmbeds, (textEmbed) => scale * dot(imageEmbed, textEmbed) + this.logitBias));
    return float32(concatenate(logits), [logits.length, textEmbeds.length]);
  }

  /** The words of a text that the model was not trained on; none if the model does not know which these are. */
  unknownWords(text: string): string[] {
    return this.#model.words ? unknownWords(text, this.#model.words) : [];
  }

  // What failed is tried again by the next call: a network may be back by then.
  #visionSession(): Promise<Session> {
    const session = (this.#vision ??= this.#compileVision((...tower) => l2Normalize(encodeImage(...tower))));
    session.catch(() => (this.#vision = undefined));
    return session;
  }

  #poolSession(): Promise<Session> {
    const session = (this.#pool ??= this.#compileVision(poolImage));
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
    this.#refuseReleased();
    const { config } = this;
    const { imageSize } = config.vision;
    const parameters = await this.#parameters("vision");
    const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
    return Session.compile({ vectors: tower(parameters, config, pixelValues) }, this.#compileOptions);
  }

  async #compileText(): Promise<Session> {
    this.#refuseReleased();
    const { config } = this;
    const parameters = await this.#parameters("text");
    const inputIds = input("inputIds", ["texts", "length"], "int32");
    const endOfText = input("endOfText", ["texts"], "int32");
    const textEmbeds = l2Normalize(encodeText(parameters, config, { inputIds, endOfText }));
    return Session.compile({ textEmbeds }, this.#compileOptions);
  }

  async #parameters(tower: "vision" | "text"): Promise<Clip> {
    const { config, parameters } = this.#model;
    const { dtype } = this.#options;
    return dtype ? quantizedParameters(config, parameters, tower, dtype) : storedParameters(config, parameters);
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

/** Σ aᵢ bᵢ: of unit vectors, their cosine. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** All that a generator yields, where that is known to be few. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A string is iterable too, letter by letter. */
function checkSource(source: unknown, batchSize: number): void {
  if (typeof source === "string")
    throw new ClipError("CLIP_USAGE", `a list is needed, got the string ${JSON.stringify(source)}; put it into [ ]`);
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new ClipError("CLIP_USAGE", `batchSize is ${batchSize}; it must be a whole number of at least 1`);
}

function* rows({ data, shape }: TensorData): Generator<Float32Array> {
  const [count, size] = shape as [number, number];
  for (let i = 0; i < count; i++) yield (data as Float32Array).slice(i * size, (i + 1) * size);
}
