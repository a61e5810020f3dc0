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

/** Protocol buffers are limited to 2 GiB; the rest is for the nodes. */
const protobufLimit = 2 ** 31 - 2 ** 24;

/** Alignment of tensors in a weight file, for any element size and vector instruction. */
const alignment = 64;

export interface OnnxOptions {
  /** Stored dtype of matrices; computation is in float32. */
  readonly dtype: "F32" | "F16";
  /** Up to this many bytes of weights are stored in the ONNX file itself, more in a file beside it. Default: ONNX's limit. */
  readonly maxInlineBytes?: number | undefined;
  /** End-of-text id, for models that pool there. Default: the last id, as in CLIP's vocabulary. */
  readonly endOfTextId?: number | undefined;
}

/** A file of an export, produced in pieces with one parameter in memory at a time. */
export interface OnnxFile {
  readonly name: string;
  readonly byteLength: number;
  readonly pieces: () => AsyncIterable<Uint8Array>;
  /** Whether it is an ONNX file whose weights are in the preceding file. */
  readonly external: boolean;
}

/**
 * Exports a model as ONNX files for plain ONNX Runtime and transformers.js: `model.onnx` with both towers, `text_model.onnx` and
 * `vision_model.onnx` with one. Names of files, inputs and outputs follow Hugging Face's `optimum`. Batch sizes and text length
 * are dynamic. Weights too large for ONNX go into a file with the suffix `_data`, which precedes its program.
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

/** Outputs by program, as in Hugging Face's classes: single towers return features that are not normalized. */
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

/** Pooled position of each text, [T]: the first end-of-text, or the last position. */
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
  // The first end-of-text is the one where the running count is 1.
  const upTo = new Float32Array(contextLength ** 2);
  for (let row = 0; row < contextLength; row++) upTo.fill(1, row * contextLength + row, (row + 1) * contextLength);
  const counting = constant(float32(upTo, [contextLength, contextLength]))
    .slice(0, 0, length)
    .slice(1, 0, length);
  const isEnd = inputIds.equal(endOfTextId).cast("float32");
  const isFirst = isEnd.matmul(counting).equal(1).cast("float32").mul(isEnd);
  return isFirst.mul(place).sum(1).cast("int32");
}
