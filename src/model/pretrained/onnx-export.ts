import { encodeFloat16Weights } from "../../core/half.ts";
import { readParameter } from "../checkpoints/load.ts";
import { float32 } from "../../core/tensor-data.ts";
import type { TensorPlace } from "../../engine/graph/ops.ts";
import { constant, input, stored, type Tensor } from "../../engine/graph/tensor.ts";
import { l2Normalize } from "../nn/layers.ts";
import { type Clip, clipLogits } from "../towers/clip.ts";
import { imageTower } from "../towers/image-tower.ts";
import { textTransformer } from "../towers/text-transformer.ts";
import { type ClipConfig } from "../towers/config.ts";
import { mapParameters } from "../nn/parameters.ts";
import { clipParameters } from "../towers/parameters.ts";
import { lowerProgram } from "../../engine/onnx/build.ts";
import { encodeModel } from "../../engine/onnx/encode.ts";
import type { DeferredBytes } from "../../engine/onnx/protobuf.ts";
import type { StoredModel } from "./model-folder.ts";

/** Protocol buffers end at 2 GiB; what is left is for the nodes. */
const protobufLimit = 2 ** 31 - 2 ** 24;

/** In a file of weights, so that each tensor lies well for any element and any vector instruction. */
const alignment = 64;

/** How {@link exportOnnx} writes. */
export interface OnnxOptions {
  /** How matrices are kept; they are computed with in float32. */
  readonly dtype: "F32" | "F16";
  /** Weights of at most so many bytes go into the ONNX file itself, larger ones into one beside it. Default: what ONNX can hold. */
  readonly maxInlineBytes?: number | undefined;
  /** The mark that ends a text, for a model that reads texts there. Default: the last of the vocabulary, as in CLIP's. */
  readonly endOfTextId?: number | undefined;
}

/** A file of an export, made piece by piece: no more than one parameter is in memory at a time. */
export interface OnnxFile {
  readonly name: string;
  readonly byteLength: number;
  readonly pieces: () => AsyncIterable<Uint8Array>;
  /** Whether it is an ONNX file whose weights are in the file before. */
  readonly external: boolean;
}

/**
 * A model as ONNX files, as Hugging Face's `optimum` names them and their inputs and outputs: `model.onnx` for both towers,
 * `text_model.onnx` and `vision_model.onnx` for one each, with as many images and texts, and as long ones, as one gives
 * them. Plain ONNX Runtime and transformers.js read them. Weights that are too large for ONNX are in a file of the same name with
 * `_data` behind it, which comes first.
 */
export function exportOnnx(
  { config, parameters }: StoredModel,
  { dtype, maxInlineBytes = protobufLimit, endOfTextId = config.text.vocabSize - 1 }: OnnxOptions,
): OnnxFile[] {
  const suffix = dtype === "F16" ? "_fp16" : "";
  const isHalved = (shape: readonly number[]) => dtype === "F16" && shape.length > 1;
  const p = mapParameters(clipParameters(config), (path) => {
    const { shape } = parameters.get(path)!;
    const byteLength = shape.reduce((count, size) => count * size, isHalved(shape) ? 2 : 4);
    const place = { file: "", byteOffset: 0, byteLength };
    return isHalved(shape)
      ? stored(path, shape, "float16", place).cast("float32").named(path)
      : stored(path, shape, "float32", place);
  });
  const read = async (path: string): Promise<Uint8Array> => {
    const { shape, data } = await readParameter(parameters.get(path)!);
    const values = isHalved(shape) ? encodeFloat16Weights(path, data) : data;
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  };
  return Object.entries(programs(p, config, endOfTextId)).flatMap(([name, outputs]) =>
    filesOf(`${name}${suffix}.onnx`, outputs(), read, maxInlineBytes),
  );
}

function filesOf(
  name: string,
  outputs: Readonly<Record<string, Tensor>>,
  read: (path: string) => Promise<Uint8Array>,
  maxInlineBytes: number,
): OnnxFile[] {
  const { initializers, ...program } = lowerProgram(outputs);
  const data = `${name}_data`;
  const weights: (DeferredBytes & { readonly byteOffset: number })[] = [];
  let dataLength = 0;
  const placed = initializers.map((initializer) => {
    const { name: path, content } = initializer;
    if (!("file" in content)) return { inline: initializer, external: initializer };
    const { byteLength } = content;
    const weight = { byteOffset: dataLength, byteLength, read: () => read(path) };
    weights.push(weight);
    dataLength = Math.ceil((dataLength + byteLength) / alignment) * alignment;
    const place: TensorPlace = { file: data, byteOffset: weight.byteOffset, byteLength };
    return { inline: { ...initializer, content: weight }, external: { ...initializer, content: place } };
  });
  const external = weights.reduce((sum, { byteLength }) => sum + byteLength, 0) > maxInlineBytes;
  const model = encodeModel({
    ...program,
    initializers: placed.map((initializer) => (external ? initializer.external : initializer.inline)),
  });
  const file: OnnxFile = { name, byteLength: model.byteLength, pieces: () => model.pieces(), external };
  if (!external) return [file];
  async function* pieces() {
    let written = 0;
    for (const { byteOffset, read } of weights) {
      yield new Uint8Array(byteOffset - written);
      const bytes = await read();
      yield bytes;
      written = byteOffset + bytes.length;
    }
  }
  const last = weights.at(-1)!;
  return [{ name: data, byteLength: last.byteOffset + last.byteLength, pieces, external: false }, file];
}

/** Names and meanings are those of Hugging Face's classes: the single towers give what is not yet of unit length. */
function programs(p: Clip, config: ClipConfig, endOfTextId: number): Record<string, () => Record<string, Tensor>> {
  const { imageSize } = config.vision;
  const siglip = config.score === "sigmoid";
  const pixelValues = input("pixel_values", ["image_batch", 3, imageSize, imageSize]);
  const images = () => imageTower(p.vision, config, pixelValues).imageFeatures;
  const texts = () => {
    const inputIds = input("input_ids", ["text_batch", "sequence"], "int64").cast("int32");
    return textTransformer(p.text, config, inputIds, pooledPlaces(inputIds, config, endOfTextId)).textFeatures;
  };
  return {
    model: () => {
      const [imageEmbeds, textEmbeds] = [l2Normalize(images()), l2Normalize(texts())];
      const logitsPerImage = clipLogits(p, imageEmbeds, textEmbeds);
      return {
        ...{ logits_per_image: logitsPerImage, logits_per_text: logitsPerImage.T },
        ...{ text_embeds: textEmbeds, image_embeds: imageEmbeds },
      };
    },
    text_model: () => ({ [siglip ? "pooler_output" : "text_embeds"]: texts() }),
    vision_model: () => ({ [siglip ? "pooler_output" : "image_embeds"]: images() }),
  };
}

/** Where each text is read from, [T]: the first end mark, or the last place. */
function pooledPlaces(inputIds: Tensor, { text: { contextLength, pool } }: ClipConfig, endOfTextId: number): Tensor {
  const length = inputIds.shape[1]!;
  const places = constant(
    float32(
      Float32Array.from({ length: contextLength }, (_, i) => i),
      [1, contextLength],
    ),
  );
  const place = places.slice(1, 0, length);
  if (pool === "last") return inputIds.cast("float32").mul(0).add(1).sum(1).sub(1).cast("int32");
  // Of equal marks the first is the one up to which one has been counted.
  const upTo = new Float32Array(contextLength ** 2);
  for (let row = 0; row < contextLength; row++) upTo.fill(1, row * contextLength + row, (row + 1) * contextLength);
  const counting = constant(float32(upTo, [contextLength, contextLength]))
    .slice(0, 0, length)
    .slice(1, 0, length);
  const isEnd = inputIds.equal(endOfTextId).cast("float32");
  const isFirst = isEnd.matmul(counting).equal(1).cast("float32").mul(isEnd);
  return isFirst.mul(place).sum(1).cast("int32");
}
