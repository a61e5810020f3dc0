import { float32, int32 } from "../../../core/tensor-data.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";

/** How captions are tokenized: too long ones are truncated, and special tokens in them are read as text, since captions are not trusted. */
export const asCaption = { truncate: true, specialTokens: "text" } as const;

/** The texts of N pairs, tokenized. */
export interface TextTensors {
  /** [N, L] */
  readonly inputIds: Int32Array;
  /** [N], place of each text's last token. */
  readonly endOfText: Int32Array;
  /** [N], equal numbers for equal texts. */
  readonly captionGroup: Int32Array;
}

/** The synthetic captions of N pairs: a sentence of each as text, and the Q tokens that the decoder writes; Q = 0 without one. */
export interface SyntheticTensors extends TextTensors {
  /** [N, Q], the tokens after the start token, the end token included. */
  readonly writtenIds: Int32Array;
  /** [N, Q], weights in the loss: they sum to 1 over the batch, padding has 0. */
  readonly tokenWeights: Float32Array;
}

/** N pairs with images as 8-bit RGB, a quarter of the size of pixel values. */
export interface PairPixels extends TextTensors {
  /** [N, S, S, 3] */
  readonly pixels: Uint8Array;
  readonly synthetic?: SyntheticTensors | undefined;
}

/** Pixel values whose parts are made on demand; a Float32Array has them all. */
export interface PixelValues {
  slice(start: number, end: number): Float32Array;
}

/** N pairs as the towers read them: a batch, a process's share or a chunk. */
export interface PairTensors<Pixels = PixelValues> extends TextTensors {
  /** [N, 3, S, S] */
  readonly pixelValues: Pixels;
  readonly synthetic?: SyntheticTensors | undefined;
}

/** The inputs of the text tower. */
export function textFeeds({ inputIds, endOfText }: Omit<TextTensors, "captionGroup">, { text }: ClipConfig) {
  const texts = endOfText.length;
  const places = text.pool === "last" ? new Int32Array(texts).fill(text.contextLength - 1) : endOfText;
  return { inputIds: int32(inputIds, [texts, inputIds.length / texts]), endOfText: int32(places, [texts]) };
}

/** The inputs of both towers; sentences of synthetic captions follow the captions. */
export function towerFeeds(pairs: PairTensors<Float32Array>, config: ClipConfig) {
  const { pixelValues, inputIds, endOfText, synthetic } = pairs;
  const { imageSize } = config.vision;
  const both = (captions: Int32Array, sentences: Int32Array | undefined) =>
    sentences ? Int32Array.from([...captions, ...sentences]) : captions;
  const texts = { inputIds: both(inputIds, synthetic?.inputIds), endOfText: both(endOfText, synthetic?.endOfText) };
  return {
    pixelValues: float32(pixelValues, [endOfText.length, 3, imageSize, imageSize]),
    ...textFeeds(texts, config),
  };
}

/** The inputs that mark equal captions, and equal sentences of synthetic ones. */
export function groupFeeds({ captionGroup, synthetic }: Pick<PairTensors, "captionGroup" | "synthetic">) {
  const shape = [captionGroup.length];
  return {
    captionGroup: int32(captionGroup, shape),
    ...(synthetic && { syntheticGroup: int32(synthetic.captionGroup, shape) }),
  };
}

/** The targets of the decoder; nothing without one. */
export function decoderFeeds({ endOfText, synthetic }: PairTensors<unknown>, { decoder }: ClipConfig) {
  if (!synthetic || !decoder) return {};
  const shape = [endOfText.length, decoder.length];
  return { writtenIds: int32(synthetic.writtenIds, shape), tokenWeights: float32(synthetic.tokenWeights, shape) };
}

/** Chunk i of a batch, of `size` pairs. */
export function chunkOf(
  batch: PairTensors,
  i: number,
  size: number,
  { vision, text, decoder }: ClipConfig,
): PairTensors<Float32Array> {
  const rows = <Values>(values: { slice(start: number, end: number): Values }, width: number): Values =>
    values.slice(i * size * width, (i + 1) * size * width);
  const textRows = ({ inputIds, endOfText, captionGroup }: TextTensors): TextTensors => ({
    inputIds: rows(inputIds, text.contextLength),
    endOfText: rows(endOfText, 1),
    captionGroup: rows(captionGroup, 1),
  });
  const { pixelValues, synthetic } = batch;
  const written = decoder?.length ?? 0;
  return {
    pixelValues: rows(pixelValues, 3 * vision.imageSize ** 2),
    ...textRows(batch),
    synthetic: synthetic && {
      ...textRows(synthetic),
      writtenIds: rows(synthetic.writtenIds, written),
      tokenWeights: rows(synthetic.tokenWeights, written),
    },
  };
}
