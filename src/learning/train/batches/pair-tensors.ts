import { float32, int32 } from "../../../core/tensor-data.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";

/** Numbers of which a part is made when it is asked for, as an array has them. */
export interface PixelValues {
  slice(start: number, end: number): Float32Array;
}

/** N pairs as numbers; of several processes each has its share of a batch. */
export interface PairTensors {
  /** [N, 3, S, S] */
  readonly pixelValues: PixelValues;
  /** [N, contextLength] */
  readonly inputIds: Int32Array;
  /** [N] */
  readonly endOfText: Int32Array;
  /** [N], equal numbers for equal captions; of several processes it is worked out anew, for all pairs. */
  readonly captionGroup: Int32Array;
  /** Where they are trained with. */
  readonly synthetic?: SyntheticTensors | undefined;
}

/** The synthetic captions of N pairs as numbers; Q = tokens that the decoder writes, 0 without one. */
export interface SyntheticTensors {
  /** [N, contextLength], a sentence of each. */
  readonly inputIds: Int32Array;
  /** [N] */
  readonly endOfText: Int32Array;
  /** [N], equal numbers for equal sentences */
  readonly captionGroup: Int32Array;
  /** [N, Q], what is behind the mark at the start, with the mark at the end. */
  readonly writtenIds: Int32Array;
  /** [N, Q], what each counts: summing to 1 over the batch, 0 for padding. */
  readonly tokenWeights: Float32Array;
}

/** What the text tower reads. */
export function textFeeds({ inputIds, endOfText }: Pick<PairTensors, "inputIds" | "endOfText">, { text }: ClipConfig) {
  const texts = endOfText.length;
  const places = text.pool === "last" ? new Int32Array(texts).fill(text.contextLength - 1) : endOfText;
  return { inputIds: int32(inputIds, [texts, inputIds.length / texts]), endOfText: int32(places, [texts]) };
}

/** What the towers read of a batch: with synthetic captions their sentences behind the captions. */
export function towerFeeds({ pixelValues, inputIds, endOfText, synthetic }: Chunk, config: ClipConfig) {
  const { imageSize } = config.vision;
  const shape = [endOfText.length, 3, imageSize, imageSize];
  const both = (captions: Int32Array, sentences: Int32Array | undefined) =>
    sentences ? Int32Array.from([...captions, ...sentences]) : captions;
  const texts = { inputIds: both(inputIds, synthetic?.inputIds), endOfText: both(endOfText, synthetic?.endOfText) };
  return { pixelValues: float32(pixelValues, shape), ...textFeeds(texts, config) };
}

/** Which captions of a batch are equal, and which sentences of the synthetic ones. */
export function groupFeeds({ captionGroup, synthetic }: Pick<PairTensors, "captionGroup" | "synthetic">) {
  const shape = [captionGroup.length];
  return {
    captionGroup: int32(captionGroup, shape),
    ...(synthetic && { syntheticGroup: int32(synthetic.captionGroup, shape) }),
  };
}

/** What the decoder, if there is one, is to write, and what each token counts. */
export function decoderFeeds(
  { endOfText, synthetic }: Pick<PairTensors, "endOfText" | "synthetic">,
  { decoder }: ClipConfig,
) {
  if (!synthetic || !decoder) return {};
  const shape = [endOfText.length, decoder.length];
  return { writtenIds: int32(synthetic.writtenIds, shape), tokenWeights: float32(synthetic.tokenWeights, shape) };
}

/** Pairs of a batch that are encoded at once. */
export type Chunk = Omit<PairTensors, "captionGroup" | "pixelValues"> & { readonly pixelValues: Float32Array };

/** Pairs i · size to (i + 1) · size of a batch. */
export function chunkOf(batch: PairTensors, i: number, size: number, { vision, text, decoder }: ClipConfig): Chunk {
  const rows = <Values>(values: { slice(start: number, end: number): Values }, width: number): Values =>
    values.slice(i * size * width, (i + 1) * size * width);
  const { synthetic } = batch;
  return {
    pixelValues: rows(batch.pixelValues, 3 * vision.imageSize ** 2),
    inputIds: rows(batch.inputIds, text.contextLength),
    endOfText: rows(batch.endOfText, 1),
    ...(synthetic && {
      synthetic: {
        inputIds: rows(synthetic.inputIds, text.contextLength),
        endOfText: rows(synthetic.endOfText, 1),
        captionGroup: rows(synthetic.captionGroup, 1),
        writtenIds: rows(synthetic.writtenIds, decoder?.length ?? 0),
        tokenWeights: rows(synthetic.tokenWeights, decoder?.length ?? 0),
      },
    }),
  };
}
