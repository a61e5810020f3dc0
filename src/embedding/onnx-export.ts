import { readParameters } from "../checkpoints/index.ts";
import { encodeFloat16 } from "../checkpoints/half.ts";
import { ClipError } from "../core/errors.ts";
import { float32, type TensorData } from "../core/tensor-data.ts";
import { constant, input, type Tensor } from "../graph/tensor.ts";
import { type Clip, type ClipConfig, clipLogits, encodeImage, encodeText, mapParameters } from "../models/index.ts";
import { buildModel } from "../onnx/build.ts";
import type { StoredModel } from "./model-folder.ts";

/** Protocol buffers end here. */
const maxBytes = 2 ** 31 - 1;

/**
 * A model as ONNX files with the weights inside, as Hugging Face's `optimum` names them and their inputs and outputs:
 * `model.onnx` for both towers, `text_model.onnx` and `vision_model.onnx` for one each, with as many pictures and texts, and as
 * long ones, as one gives them. Plain ONNX Runtime and transformers.js read them.
 *
 * @param dtype - how matrices are kept; they are computed with in float32.
 * @returns the content of each file by its name, made when it is asked for.
 * @throws {ClipError} `CLIP_CHECKPOINT` if a file would be larger than ONNX can be; `CLIP_CONFIG` if nothing says which mark
 *   ends a text.
 */
export async function* exportOnnx(
  { config, parameters, vocabulary }: StoredModel,
  dtype: "F32" | "F16",
): AsyncGenerator<[name: string, bytes: Uint8Array]> {
  if (vocabulary.kind === "json" && config.text.pool !== "last")
    throw new ClipError(
      "CLIP_CONFIG",
      "this model's texts end with a mark that is not the last of its vocabulary; such are not exported",
    );
  const values = await readParameters(parameters);
  const bytes = Array.from(values.values()).reduce((sum, { data }) => sum + data.length * (dtype === "F16" ? 2 : 4), 0);
  if (bytes > maxBytes) {
    const wayOut = dtype === "F32" ? "; halve it with --dtype f16" : "";
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `${(bytes / 1e9).toFixed(1)} GB do not fit into one ONNX file of 2 GB${wayOut}`,
    );
  }
  const suffix = dtype === "F16" ? "_fp16" : "";
  const p = mapParameters(config, (path) => inside(path, values.get(path)!, dtype));
  for (const [name, outputs] of Object.entries(programs(p, config))) {
    yield [`${name}${suffix}.onnx`, buildModel(outputs()).bytes];
  }
}

function inside(path: string, value: TensorData<"float32">, dtype: "F32" | "F16"): Tensor {
  if (dtype === "F32" || value.shape.length < 2) return constant(value).named(path);
  return constant({ ...value, dtype: "float16", data: encodeFloat16(value.data) })
    .cast("float32")
    .named(path);
}

/** Names and meanings are those of Hugging Face's classes: the single towers give what is not yet of unit length. */
function programs(p: Clip, config: ClipConfig): Record<string, () => Record<string, Tensor>> {
  const { imageSize } = config.vision;
  const siglip = config.score === "sigmoid";
  const images = () => encodeImage(p, config, input("pixel_values", ["image_batch", 3, imageSize, imageSize]));
  const texts = () => {
    const inputIds = input("input_ids", ["text_batch", "sequence"], "int64").cast("int32");
    return encodeText(p, config, { inputIds, endOfText: pooledPlaces(inputIds, config) });
  };
  return {
    model: () => {
      const { logitsPerImage, logitsPerText, textEmbeds, imageEmbeds } = clipLogits(images(), texts(), p);
      return {
        ...{ logits_per_image: logitsPerImage, logits_per_text: logitsPerText },
        ...{ text_embeds: textEmbeds, image_embeds: imageEmbeds },
      };
    },
    text_model: () => ({ [siglip ? "pooler_output" : "text_embeds"]: texts() }),
    vision_model: () => ({ [siglip ? "pooler_output" : "image_embeds"]: images() }),
  };
}

/** Where each text is read from, [T]: the first end mark, which has the last id; or the last place. */
function pooledPlaces(inputIds: Tensor, { text: { contextLength, vocabSize, pool } }: ClipConfig): Tensor {
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
  const isEnd = inputIds.equal(vocabSize - 1).cast("float32");
  const isFirst = isEnd.matmul(counting).equal(1).cast("float32").mul(isEnd);
  return isFirst.mul(place).sum(1).cast("int32");
}
