import { storedParameters } from "../checkpoints/load.ts";
import { quantizedParameters } from "../checkpoints/quantize.ts";
import { towerMatrices } from "../towers/matrices.ts";
import { clipParameters } from "../towers/parameters.ts";
import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, flag, type Kind, type OptionKinds } from "../../core/options.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { input, type Tensor } from "../../engine/graph/tensor.ts";
import { clipLogits } from "../towers/clip.ts";
import { imageTower } from "../towers/image-tower.ts";
import { textTransformer } from "../towers/text-transformer.ts";
import { type TextConfig } from "../towers/config.ts";
import { l2Normalize } from "../nn/layers.ts";
import { type CompileOptions, Session } from "../../engine/runtime/session.ts";
import { storedModel } from "../pretrained/model-files.ts";
import type { StoredModel } from "../pretrained/model-folder.ts";
import { encoderKinds } from "./encoder.ts";
import type { EncoderOptions } from "./compiled-towers.ts";
import { checkedVector, rowsOf } from "./vector.ts";

export interface ForwardInputs {
  /** float32 [I, 3, S, S], standardized. */
  readonly pixelValues?: TensorData<"float32"> | undefined;
  /** int32 [T, L] with start and end of text; L at most the context length. */
  readonly inputIds?: TensorData<"int32"> | undefined;
}

const tensor = (dtype: "float32" | "int32"): Kind => ({
  wanted: `a tensor of ${dtype}: ${dtype}(data, shape)`,
  fits: (value) =>
    typeof value === "object" &&
    value !== null &&
    "dtype" in value &&
    value.dtype === dtype &&
    "shape" in value &&
    Array.isArray(value.shape) &&
    "data" in value,
});
const inputKinds: OptionKinds<ForwardInputs> = { pixelValues: tensor("float32"), inputIds: tensor("int32") };
export type ForwardOptions = Pick<CompileOptions, "device" | "fallback"> & Pick<EncoderOptions, "dtype">;
const forwardKinds: OptionKinds<ForwardOptions> = {
  ...{ device: encoderKinds.device, dtype: encoderKinds.dtype },
  fallback: flag,
};

/**
 * One forward pass with all outputs, to compare implementations: `imageFeatures`, `imageEmbeds` [I, E]; `textFeatures`,
 * `textEmbeds` [T, E]; `logitsPerImage` [I, T], `logitsPerText` [T, I]; `logitScale` and, if the model has one, `logitBias`.
 * Outputs whose inputs are missing are left out.
 *
 * @throws {ClipError} `CLIP_USAGE` if both inputs are missing, or one does not fit the model; `CLIP_RUNTIME` if a vector is not finite.
 */
export async function forward(
  model: StoredModel,
  inputs: ForwardInputs,
  options: ForwardOptions = {},
): Promise<Map<string, TensorData>> {
  checkKind("forward: the model", model, storedModel);
  checkOptions("forward", inputs, inputKinds);
  checkOptions("forward", options, forwardKinds);
  const { config } = model;
  const { dtype, ...compileOptions } = options;
  const matrices = (["vision", "text"] as const).flatMap((tower) => towerMatrices(config, tower));
  const p = dtype
    ? await quantizedParameters(clipParameters(config), model.parameters, matrices, dtype)
    : storedParameters(clipParameters(config), model.parameters);
  const feeds: Record<string, TensorData> = {};
  const outputs: Record<string, Tensor> = {};
  if (inputs.pixelValues) {
    feeds["pixelValues"] = checkPixelValues(inputs.pixelValues, model);
    const pixelValues = input("pixelValues", inputs.pixelValues.shape);
    outputs["imageFeatures"] = imageTower(p.vision, config, pixelValues).imageFeatures;
    outputs["imageEmbeds"] = l2Normalize(outputs["imageFeatures"]);
  }
  if (inputs.inputIds) {
    feeds["inputIds"] = checkInputIds(inputs.inputIds, model);
    feeds["endOfText"] = pooledPlaces(inputs.inputIds, config.text.pool);
    const [inputIds, endOfText] = ["inputIds", "endOfText"].map((name) => input(name, feeds[name]!.shape, "int32"));
    outputs["textFeatures"] = textTransformer(p.text, config, inputIds!, endOfText!).textFeatures;
    outputs["textEmbeds"] = l2Normalize(outputs["textFeatures"]);
  }
  const { imageEmbeds, textEmbeds } = outputs;
  if (!imageEmbeds && !textEmbeds) throw new ClipError("CLIP_USAGE", "no inputs: give pixelValues, inputIds, or both");
  if (imageEmbeds && textEmbeds) {
    const logitsPerImage = clipLogits(p, imageEmbeds, textEmbeds);
    Object.assign(outputs, { logitsPerImage, logitsPerText: logitsPerImage.T });
  }
  await using session = await Session.compile(outputs, compileOptions);
  const results = await session.run(feeds);
  for (const [name, noun] of [
    ["imageFeatures", "image"],
    ["textFeatures", "text"],
  ] as const)
    if (results[name]) rowsOf(results[name]).forEach((row, i) => checkedVector(row, () => `${noun} ${i}`));
  const scalars: [string, TensorData][] = [["logitScale", float32([model.logitScale], [])]];
  if (p.logitBias) scalars.push(["logitBias", float32([model.logitBias], [])]);
  return new Map([...Object.entries(results), ...scalars]);
}

function checkPixelValues(pixelValues: TensorData<"float32">, { config }: StoredModel): TensorData {
  const { imageSize } = config.vision;
  const [images = 0, ...rest] = pixelValues.shape;
  if (images < 1 || String(rest) !== String([3, imageSize, imageSize]))
    throw doesNotFit("pixelValues", `[n, 3, ${imageSize}, ${imageSize}]`, pixelValues);
  return pixelValues;
}

function checkInputIds(inputIds: TensorData<"int32">, { config }: StoredModel): TensorData {
  const { contextLength, vocabSize } = config.text;
  const [texts = 0, length = 0, ...rest] = inputIds.shape;
  if (texts < 1 || length < 1 || length > contextLength || rest.length > 0)
    throw doesNotFit("inputIds", `[n, L] with L at most ${contextLength}`, inputIds);
  const wrong = inputIds.data.find((id) => id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw new ClipError("CLIP_USAGE", `inputIds holds ${wrong}; this model's ids go from 0 to ${vocabSize - 1}`);
  return inputIds;
}

function doesNotFit(name: string, wanted: string, { shape }: TensorData): ClipError {
  return new ClipError("CLIP_USAGE", `${name} must be ${wanted} for this model, got [${shape.join(", ")}]`);
}

/** Pooled position of each text: the last one, or the first of its largest id (the end of text), as in OpenAI's code. */
export function pooledPlaces({ data, shape }: TensorData<"int32">, pool: TextConfig["pool"]): TensorData {
  const [texts, length] = shape as [number, number];
  if (pool === "last") return int32(new Int32Array(texts).fill(length - 1), [texts]);
  const ends = Array.from({ length: texts }, (_, i) => {
    const row = data.subarray(i * length, (i + 1) * length);
    return row.indexOf(Math.max(...row));
  });
  return int32(ends, [texts]);
}
