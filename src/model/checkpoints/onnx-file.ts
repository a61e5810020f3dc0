import { ClipError } from "../../core/errors.ts";
import { dirname, join, readRange, realFile, fileSize } from "../../core/files.ts";
import { cut } from "../../core/listing.ts";
import { elementBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

/** ONNX's codes of the supported dtypes. */
const dtypes: Readonly<Record<number, StoredDtype>> = { 1: "F32", 10: "F16", 16: "BF16" };

/** Names of parameters in the ONNX files that this library writes; other constants do not match. */
const parameterName = /^(vision|text)\.|^logit(Scale|Bias)$/;

/** Field numbers in ONNX's protocol buffers. */
const fields = {
  model: { graph: 7 },
  graph: { initializer: 5 },
  tensor: { dims: 1, dataType: 2, name: 8, rawData: 9, externalData: 13 },
  entry: { key: 1, value: 2 },
} as const;

/** Bytes per read of the metadata between tensors. */
const windowBytes = 2 ** 16;
/** Limit for hostile files; a model has some thousands of nodes and tensors. */
const maxFields = 1_000_000;

/**
 * Locates the parameters in an ONNX file written by `clip-ts convert --to onnx`: in the file itself or in one beside it. The
 * program is ignored.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read; `CLIP_CHECKPOINT` if it is damaged, or has no parameters by our names.
 */
export async function openOnnxFile(path: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const damaged = (problem: string) =>
    new ClipError("CLIP_CHECKPOINT", `${path} is not a complete ONNX file: ${problem}; write it again`);
  const file = await realFile(path);
  const size = (await fileSize(file)) ?? 0;
  const reader = new FieldReader(file, size, damaged);
  const tensors = new Map<string, StoredTensor>();
  for await (const graph of reader.fields(0, size)) {
    if (graph.number !== fields.model.graph) continue;
    for await (const initializer of reader.fields(graph.start, graph.end)) {
      if (initializer.number !== fields.graph.initializer) continue;
      const { name, ...tensor } = await readInitializer(reader, initializer);
      if (!parameterName.test(name)) continue;
      const { dtype, shape, byteLength } = tensor;
      if (!dtype) throw damaged(`"${cut(name)}" has an unsupported dtype`);
      if (shape.reduce((total, side) => total * side, elementBytes[dtype]) !== byteLength)
        throw damaged(`"${cut(name)}" has ${byteLength} bytes, which do not fit its shape [${shape.join(", ")}]`);
      const place = await placeOf(tensor, path, file, damaged);
      tensors.set(name, { ...place, dtype, shape, byteLength });
    }
  }
  if (tensors.size > 0) return tensors;
  const problem = "no named weights; only ONNX files written by clip-ts can be read";
  throw new ClipError("CLIP_CHECKPOINT", `${path}: ${problem}; use the model that it was made from`);
}

interface Initializer {
  readonly name: string;
  readonly dtype: StoredDtype | undefined;
  readonly shape: readonly number[];
  /** Name of the file beside it; undefined for the ONNX file itself. */
  readonly location: string | undefined;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The file with a tensor's bytes: the ONNX file or one in its folder, never one elsewhere. */
async function placeOf(
  { location, byteOffset, byteLength }: Initializer | Omit<Initializer, "name">,
  path: string,
  own: string,
  damaged: Damaged,
) {
  if (location === undefined) return { file: own, byteOffset };
  if (!/^[^/\\]+$/.test(location)) throw damaged(`it refers to weights in "${cut(location)}", outside its folder`);
  const file = await realFile(join(dirname(path), location));
  const size = (await fileSize(file)) ?? 0;
  if (byteOffset + byteLength > size) throw damaged(`${location} ends at byte ${size}, before its weights do`);
  return { file, byteOffset };
}

async function readInitializer(reader: FieldReader, { start, end }: Field): Promise<Initializer> {
  const shape: number[] = [];
  const entries = new Map<string, string>();
  let [name, dataType, byteOffset, byteLength] = ["", 0, 0, 0];
  for await (const field of reader.fields(start, end)) {
    if (field.number === fields.tensor.dims && field.value !== undefined) shape.push(field.value);
    else if (field.number === fields.tensor.dims) shape.push(...(await reader.varints(field)).slice(0, 16));
    else if (field.number === fields.tensor.dataType) dataType = field.value ?? 0;
    else if (field.number === fields.tensor.name) name = await reader.text(field);
    else if (field.number === fields.tensor.rawData) [byteOffset, byteLength] = [field.start, field.end - field.start];
    else if (field.number === fields.tensor.externalData) {
      const pair = { key: "", value: "" };
      for await (const part of reader.fields(field.start, field.end))
        pair[part.number === fields.entry.key ? "key" : "value"] = await reader.text(part);
      entries.set(pair.key, pair.value);
    }
  }
  const location = entries.get("location");
  if (location !== undefined) {
    [byteOffset, byteLength] = [Number(entries.get("offset") ?? 0), Number(entries.get("length"))];
    if (![byteOffset, byteLength].every((value) => Number.isSafeInteger(value) && value >= 0))
      throw reader.damaged(`"${cut(name)}" has a malformed description`);
  }
  return { name, dtype: dtypes[dataType], shape, location, byteOffset, byteLength };
}

type Damaged = (problem: string) => ClipError;

/** A field of a message: a number, or a byte range of the file. */
interface Field {
  readonly number: number;
  readonly value?: number;
  readonly start: number;
  readonly end: number;
}

/** Reads the fields of a protocol buffer from a file, skipping their contents. */
class FieldReader {
  readonly damaged: Damaged;
  readonly #file: string;
  readonly #size: number;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #fields = 0;

  constructor(file: string, size: number, damaged: Damaged) {
    [this.#file, this.#size, this.damaged] = [file, size, damaged];
  }

  async *fields(start: number, end: number): AsyncGenerator<Field> {
    for (let at = start; at < end;) {
      if (++this.#fields > maxFields) throw this.damaged(`it has more than ${maxFields} parts`);
      const tag = await this.#varint(at);
      const [number, kind] = [Math.floor(tag.value / 8), tag.value % 8];
      if (kind === 0) {
        const { value, next } = await this.#varint(tag.next);
        at = next;
        yield { number, value, start: tag.next, end: next };
        continue;
      }
      const length = kind === 2 ? await this.#varint(tag.next) : { value: kind === 1 ? 8 : 4, next: tag.next };
      if (![1, 2, 5].includes(kind) || length.next + length.value > end) throw this.damaged(`unexpected byte at ${at}`);
      at = length.next + length.value;
      yield { number, start: length.next, end: at };
    }
  }

  async text({ start, end }: Field): Promise<string> {
    if (end - start > windowBytes) throw this.damaged("a name is too long");
    return new TextDecoder().decode(await readRange(this.#file, start, end - start));
  }

  async varints({ start, end }: Field): Promise<number[]> {
    const values: number[] = [];
    for (let at = start; at < end && values.length < 64;) {
      const { value, next } = await this.#varint(at);
      values.push(value);
      at = next;
    }
    return values;
  }

  async #varint(start: number): Promise<{ readonly value: number; readonly next: number }> {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = await this.#byte(start + i);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return { value, next: start + i + 1 };
    }
    throw this.damaged(`the number at byte ${start} is unterminated`);
  }

  async #byte(at: number): Promise<number> {
    if (at >= this.#size) throw this.damaged("the rest is missing");
    if (at < this.#windowStart || at >= this.#windowStart + this.#window.length) {
      this.#window = await readRange(this.#file, at, Math.min(windowBytes, this.#size - at));
      this.#windowStart = at;
    }
    return this.#window[at - this.#windowStart]!;
  }
}
