import { ClipError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import type { TensorData } from "../core/tensor-data.ts";
import { constant, stored, type Tensor } from "../graph/tensor.ts";
import { type Clip, type ClipConfig, mapParameters, parameterSpecs } from "../models/index.ts";
import { detectLayout, type Layout } from "./names/layouts.ts";
import { openSafetensors, readFloats, type StoredTensor } from "./safetensors.ts";

/** Parameters by our paths, as places in a file. */
export type StoredParameters = ReadonlyMap<string, StoredTensor>;

/** Tensors of a file under our paths, and what in it has none. */
export interface TranslatedTensors {
  readonly layout: Layout;
  readonly tensors: StoredParameters;
  readonly unknown: readonly string[];
}

/**
 * Finds the parameters of a model in a safetensors file with our names or OpenAI's (open_clip's `CLIP` class has the
 * same). Only the header is read.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` unless every tensor of the model is in the file, in its shape, and nothing is left
 *   over; the message lists all differences. `CLIP_FILE` if the file cannot be read.
 */
export async function loadParameters(path: string, config: ClipConfig): Promise<StoredParameters> {
  const { tensors } = await openSafetensors(path);
  return fitParameters(translateNames(tensors, path), config, path);
}

/**
 * Puts tensors under our paths.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if the names are of no layout that we know.
 */
export function translateNames(tensors: ReadonlyMap<string, StoredTensor>, path: string): TranslatedTensors {
  const layout = detectLayout(tensors.keys());
  if (!layout) {
    const some = [...tensors.keys()].slice(0, 5).join(", ") || "nothing";
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `${path} has neither our tensor names (vision.…, text.…) nor OpenAI's (visual.…, transformer.…), but ${some}`,
    );
  }
  const translated = new Map<string, StoredTensor>();
  const unknown: string[] = [];
  for (const [name, tensor] of tensors) {
    const ours = layout.toOurs(name);
    if (ours === undefined) unknown.push(name);
    else if (ours !== null) translated.set(ours, tensor);
  }
  return { layout, tensors: translated, unknown };
}

const floatDtypes: readonly string[] = ["F32", "F16", "BF16", "F64"];

function fitParameters({ layout, tensors, unknown }: TranslatedTensors, config: ClipConfig, path: string) {
  const specs = parameterSpecs(config);
  const fitting = new Map<string, StoredTensor>();
  const show = (name: string) => {
    const theirs = layout.fromOurs(name);
    return theirs === undefined || theirs === name ? name : `${name} (${theirs})`;
  };
  const problems: string[] = [];
  for (const [name, { shape }] of specs) {
    const tensor = tensors.get(name);
    // Scalars are written with one axis by some.
    const fits = tensor && (sameShape(tensor.shape, shape) || (shape.length === 0 && sameShape(tensor.shape, [1])));
    if (!tensor) problems.push(`missing from the file: ${show(name)} [${shape.join(", ")}]`);
    else if (!fits)
      problems.push(`${show(name)}: the model wants [${shape.join(", ")}], the file has [${tensor.shape.join(", ")}]`);
    else if (!floatDtypes.includes(tensor.dtype))
      problems.push(`${show(name)}: the model wants floating-point numbers, the file has ${tensor.dtype}`);
    else fitting.set(name, { ...tensor, shape });
  }
  const leftOver = [...tensors.keys()].filter((name) => !specs.has(name)).map(show);
  problems.push(...[...leftOver, ...unknown].map((name) => `unknown to the model: ${name}`));
  if (problems.length > 0) {
    const lines = [`${path} (${layout.name}) does not fit the model; is it of another architecture?`, ...problems];
    throw new ClipError("CLIP_CHECKPOINT", lines.join("\n  "));
  }
  return fitting;
}

/**
 * The model's record with its parameters read by ONNX Runtime from where they lie in the file: float32 as it is,
 * float16 cast when the session starts. Other dtypes are decoded here and become part of the program.
 */
export async function storedParameters(config: ClipConfig, parameters: StoredParameters): Promise<Clip> {
  const tensors = new Map<string, Tensor>();
  for (const [path, place] of parameters) {
    if (place.dtype === "F32") tensors.set(path, stored(path, place.shape, "float32", place));
    else if (place.dtype === "F16")
      tensors.set(path, stored(path, place.shape, "float16", place).cast("float32").named(path));
    else tensors.set(path, constant(await readFloats(place)).named(path));
  }
  return mapParameters(config, (path) => tensors.get(path)!);
}

/** The values of all parameters as float32, by path: what training starts from. */
export async function readParameters(parameters: StoredParameters): Promise<Map<string, TensorData<"float32">>> {
  const values = new Map<string, TensorData<"float32">>();
  for (const [path, place] of parameters) values.set(path, await readFloats(place));
  return values;
}
