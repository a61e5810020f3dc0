import { abortSignal, callback, checkKind, checkOptions, listOf, type OptionKinds, text } from "../../core/options.ts";
import { decodeKinds, imageKind } from "../../inputs/image/image-source.ts";
import type { DecodeOptions, ImageSource } from "../../inputs/image/image-source.ts";
import { ClipEncoder, collect, dot, encoderKind, type EncodeTextOptions } from "./encoder.ts";
import type { LazyImage } from "./image-stream.ts";
import { storedModel } from "../pretrained/model-files.ts";
import type { StoredModel } from "../pretrained/model-folder.ts";

/** Cosines between the embeddings of a quantized and the original model. */
export interface Agreement {
  readonly count: number;
  readonly mean: number;
  readonly least: number;
}

/** Inputs to compare on; a tower without inputs is skipped. */
export interface AgreementInputs {
  readonly images: readonly (ImageSource | LazyImage)[];
  readonly texts: readonly string[];
}

export interface AgreementOptions extends Pick<EncodeTextOptions, "onTruncate" | "signal">, DecodeOptions {}
const measureKinds: OptionKinds<AgreementOptions> = { ...decodeKinds, onTruncate: callback, signal: abortSignal };
const inputKinds: OptionKinds<AgreementInputs> = { images: listOf(imageKind), texts: listOf(text) };

/**
 * Measures how well a quantized model's embeddings agree with the original's, on your own inputs. The quantized model is
 * released before the original towers are loaded, one at a time, to limit memory.
 *
 * @param rounded - an encoder of the model with `dtype`; it is released.
 * @throws {ClipError} see {@link ClipEncoder.encodeImages} and {@link ClipEncoder.encodeTexts}.
 */
export async function measureQuantization(
  rounded: ClipEncoder,
  model: StoredModel,
  inputs: AgreementInputs,
  options: AgreementOptions = {},
): Promise<{ readonly images?: Agreement; readonly texts?: Agreement }> {
  checkKind("measureQuantization: the encoder", rounded, encoderKind);
  checkKind("measureQuantization: the model", model, storedModel);
  checkOptions("measureQuantization", inputs, inputKinds);
  checkOptions("measureQuantization", options, measureKinds);
  const { images = [], texts = [] }: Partial<AgreementInputs> = inputs;
  const { onTruncate, signal, ...decoding } = options;
  const encodings = {
    images: (encoder: ClipEncoder) => collect(encoder.encodeImages(images, { ...decoding, signal })),
    texts: (encoder: ClipEncoder) => collect(encoder.encodeTexts(texts, { onTruncate, signal })),
  };
  const got = { images: await encodings.images(rounded), texts: await encodings.texts(rounded) };
  await rounded.release();
  const agreements: { images?: Agreement; texts?: Agreement } = {};
  for (const what of ["images", "texts"] as const) {
    if (got[what].length === 0) continue;
    await using exact = new ClipEncoder(model, { prepack: false });
    const wanted = await encodings[what](exact);
    const cosines = wanted.map((embed, i) => dot(embed, got[what][i]!));
    const mean = cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length;
    agreements[what] = { count: cosines.length, mean, least: Math.min(...cosines) };
  }
  return agreements;
}
