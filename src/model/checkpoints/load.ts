import type { Dtype } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { cut, listed } from "../../core/listing.ts";
import { sameShape } from "../../core/shape.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { concat, constant, stored, type Tensor } from "../../engine/graph/tensor.ts";
import { mapParameters, type ParameterSpec, parameterSpecs, type Specs, type WithLeaves } from "../nn/parameters.ts";
import { clipLayouts, type Layout, type LayoutFamily } from "./names/layouts.ts";
import type { TensorPlacement } from "./names/patterns.ts";
import { readFloats, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";
import { openWeightFile } from "./weight-file.ts";

/** A parameter's location in a file; its values are read on demand. */
export interface StoredParameter {
  /** The model's shape of it. */
  readonly shape: readonly number[];
  /** Tensors to concatenate along the first axis. */
  readonly parts: readonly StoredTensor[];
  /** Stored transposed in the file. */
  readonly transposed: boolean;
}

/** Parameters by our paths: locations in files, or values if they were computed. */
export type StoredParameters = ReadonlyMap<string, StoredParameter | TensorData<"float32">>;

/** Tensors of a file under our paths; `unknown` are names without one. */
interface TranslatedTensors {
  readonly layout: Layout;
  readonly parameters: ReadonlyMap<string, StoredParameter>;
  readonly unknown: readonly string[];
}

/**
 * Finds a model's parameters in a weight file of any supported format and layout. Only the file's index is read.
 *
 * @param family - layouts to consider; default CLIP's.
 * @throws {ClipError} `CLIP_CHECKPOINT` if a tensor is missing, left over, or has another shape, with all differences;
 *   `CLIP_FILE` if the file cannot be read.
 */
export async function loadParameters<Model extends object>(
  path: string,
  model: Model & Specs<Model>,
  family: LayoutFamily = clipLayouts,
): Promise<ReadonlyMap<string, StoredParameter>> {
  const { tensors, opaque } = await openWeightFile(path);
  return fitParameters(translateNames(tensors, path, family), parameterSpecs<Model>(model), path, opaque);
}

/**
 * Translates a file's tensor names to our paths. A parameter of several tensors counts as missing if one of them is.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if the names belong to only one tower, or to no known layout.
 */
export function translateNames(
  tensors: ReadonlyMap<string, StoredTensor>,
  path: string,
  { detect, titles, problem }: LayoutFamily = clipLayouts,
): TranslatedTensors {
  const strange = problem?.(tensors.keys());
  if (strange !== undefined) throw new ClipError("CLIP_CHECKPOINT", `${path} ${strange}`);
  const layout = detect(tensors.keys());
  if (!layout) {
    const known = titles.join(", ");
    const some = [...tensors.keys()].slice(0, 5).map(cut).join(", ") || "nothing";
    throw new ClipError("CLIP_CHECKPOINT", `${path} has unknown tensor names (${some}); supported are ${known}`);
  }
  const parameters = new Map<string, StoredParameter>();
  const unknown: string[] = [];
  const begun = new Map<string, Map<number, { tensor: StoredTensor; share: number }>>();
  for (const [name, tensor] of tensors) {
    const placement = layout.toOurs(name);
    if (placement === undefined) unknown.push(name);
    if (!placement) continue;
    const { path, rows, transposed } = placement;
    const parts = begun.get(path) ?? new Map<number, { tensor: StoredTensor; share: number }>();
    begun.set(path, parts.set(rows[0], { tensor, share: rows[1] - rows[0] }));
    const inOrder = [...parts].sort(([a], [b]) => a - b).map(([, part]) => part);
    if (inOrder.reduce((sum, { share }) => sum + share, 0) < rows[2]) continue;
    const found = inOrder.map((part) => part.tensor);
    parameters.set(path, { shape: shapeOf(found, placement), parts: found, transposed });
  }
  return { layout, parameters, unknown };
}

/** Shape of concatenated tensors; if they do not match, the first one's, which then fits no model. */
function shapeOf(parts: readonly StoredTensor[], { transposed, leadingOnes }: TensorPlacement): readonly number[] {
  const whole = parts[0]!.shape;
  const shape = whole.slice(0, leadingOnes).every((size) => size === 1) ? whole.slice(leadingOnes) : whole;
  if (transposed) return shape.toReversed();
  if (parts.length === 1) return shape;
  const rest = shape.slice(1);
  const fit = parts.every((part) => part.shape.length > 0 && sameShape(part.shape.slice(1), rest));
  return fit ? [parts.reduce((rows, part) => rows + part.shape[0]!, 0), ...rest] : shape;
}

/** Some files store scalars with one axis, and tables as a batch of one. */
function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? [] : shape.slice(first);
}

/** Enough for every difference to another large model, and a bound for files with endless names. */
const maxProblems = 1_000;

const floatDtypes: readonly string[] = ["F32", "F16", "BF16"];

function fitParameters(
  { layout, parameters, unknown }: TranslatedTensors,
  specs: ReadonlyMap<string, ParameterSpec>,
  path: string,
  opaque: ReadonlyMap<string, string> = new Map(),
) {
  const fitting = new Map<string, StoredParameter>();
  const show = (ours: string) => {
    const theirs = layout.fromOurs(ours);
    const names = theirs.map(({ name }) => name).join(", ");
    return names === "" || names === ours ? ours : `${ours} (${names})`;
  };
  const problems: string[] = [];
  const makerOf = (ours: string) =>
    layout
      .fromOurs(ours)
      .map(({ name }) => opaque.get(name))
      .find(Boolean);
  for (const [name, { shape }] of specs) {
    const parameter = parameters.get(name);
    const fits = parameter && sameShape(withoutLeadingOnes(parameter.shape), withoutLeadingOnes(shape));
    const other = parameter?.parts.find(({ dtype }) => !floatDtypes.includes(dtype))?.dtype;
    const maker = parameter ? undefined : makerOf(name);
    if (maker !== undefined)
      problems.push(
        `${show(name)}: the file has no plain tensor, but a call of ${cut(maker)}, which clip-ts does not execute`,
      );
    else if (!parameter) problems.push(`missing from the file: ${show(name)} [${shape.join(", ")}]`);
    else if (!fits)
      problems.push(
        `${show(name)}: the model needs [${shape.join(", ")}], the file has [${parameter.shape.join(", ")}]`,
      );
    else if (other === "F64")
      problems.push(`${show(name)}: the file has float64, which would lose half its digits; convert it to float32`);
    else if (other) problems.push(`${show(name)}: the file has ${other}; save the model as float16 or float32`);
    else fitting.set(name, { ...parameter, shape });
  }
  const leftOver = [...parameters.keys()].filter((name) => !specs.has(name)).map(show);
  for (const name of [...leftOver, ...unknown]) problems.push(`unknown to the model: ${name}`);
  if (problems.length > 0) {
    const lines = [
      `${path} (${layout.title}) does not fit the model; does it have another architecture?`,
      ...listed(problems, maxProblems),
    ];
    throw new ClipError("CLIP_CHECKPOINT", lines.join("\n  "));
  }
  return fitting;
}

/**
 * A model's record whose parameters ONNX Runtime reads directly from the file: float32 unchanged; half precisions are cast,
 * parts joined and matrices transposed when the session starts.
 *
 * @param others - replacements for some of them, by path.
 */
export function storedParameters<Model extends object>(
  model: Model & Specs<Model>,
  parameters: StoredParameters,
  others: ReadonlyMap<string, Tensor> = new Map(),
): WithLeaves<Model, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [path, parameter] of parameters) {
    if ("data" in parameter) {
      tensors.set(path, constant(parameter).named(path));
      continue;
    }
    const { shape, parts, transposed } = parameter;
    const pieces = parts.map((part, i) => storedTensor(parts.length === 1 ? path : `${path}.${i}`, part));
    const whole = pieces.length === 1 ? pieces[0]! : concat(pieces, 0);
    tensors.set(path, (transposed ? whole.T : whole.reshape(shape)).named(path));
  }
  return mapParameters<Model, Tensor>(model, (path) => others.get(path) ?? tensors.get(path)!);
}

const dtypes: Partial<Record<StoredDtype, Dtype>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

function storedTensor(name: string, part: StoredTensor): Tensor {
  const dtype = dtypes[part.dtype]!;
  const { shape, order = shape.map((_, axis) => axis) } = part;
  const lying = order.map((axis) => shape[axis]!);
  const tensor = stored(name, lying, dtype, part).transpose(shape.map((_, axis) => order.indexOf(axis)));
  return dtype === "float32" ? tensor : tensor.cast("float32");
}

/** The values of all parameters as float32, by path. */
export async function readParameters(parameters: StoredParameters): Promise<Map<string, TensorData<"float32">>> {
  const values = new Map<string, TensorData<"float32">>();
  for (const [path, parameter] of parameters) values.set(path, await readParameter(parameter));
  return values;
}

/** The values of a parameter as float32. */
export async function readParameter(
  parameter: StoredParameter | TensorData<"float32">,
): Promise<TensorData<"float32">> {
  if ("data" in parameter) return parameter;
  const { shape, parts, transposed } = parameter;
  const pieces: Float32Array[] = [];
  for (const part of parts) pieces.push((await readFloats(part)).data);
  if (pieces.length === 1 && !transposed) return float32(pieces[0]!, shape);
  const values = new Float32Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    values.set(piece, at);
    at += piece.length;
  }
  return float32(transposed ? transpose(values, shape) : values, shape);
}

/** [columns, rows] → [rows, columns] */
export function transpose(values: Float32Array, [rows = 1, columns = 1]: readonly number[]): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % columns) * rows + Math.floor(i / columns)]!);
}
