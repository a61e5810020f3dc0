import { z } from "zod";
import { ClipError } from "../../core/errors.ts";
import { readRange, realFile, fileSize } from "../../core/files.ts";
import { cut } from "../../core/listing.ts";
import { elementBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The strings of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The official reader's limit. */
const maxHeaderBytes = 100_000_000;
/** A valid header is an object of objects of lists. */
const maxNesting = 3;
/** Limit of values in a header; a tensor has about 8. */
const maxValues = 2_000_000;

const metadataSchema = z.record(z.string(), z.string());
const tensorSchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()).max(16),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

/**
 * Reads the header of a safetensors file and checks it against the file's size, so that later reads stay inside. Symbolic
 * links are resolved, because ONNX Runtime needs the real file.
 *
 * @throws {ClipError} `CLIP_FILE` if the file cannot be read, `CLIP_CHECKPOINT` if it is damaged or of another format.
 * @see {@link https://github.com/huggingface/safetensors | safetensors}, "Format".
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const damaged = (problem: string) =>
    new ClipError("CLIP_CHECKPOINT", `${path} is not a valid safetensors file: ${problem}; download or save it again`);
  const file = await realFile(path);
  const { size, header } = await readHeader(file, damaged);

  const { depth, values, entries } = outline(header);
  if (depth > maxNesting) throw damaged(`its header nests values deeper than ${maxNesting} levels`);
  if (values > maxValues) throw damaged(`its header has more than ${maxValues} values`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (cause) {
    throw damaged(`its header is not JSON (${(cause as Error).message})`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw damaged("its header is not a JSON object");
  const named = Object.entries(json);
  if (named.length < entries) throw damaged("its header has the same name twice");

  const start = 8 + header.length;
  const tensors = new Map<string, StoredTensor>();
  let metadata = new Map<string, string>();
  for (const [name, value] of named) {
    if (name === "__metadata__") {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw damaged("__metadata__ does not hold strings");
      metadata = new Map(Object.entries(parsed.data));
      continue;
    }
    const parsed = tensorSchema.safeParse(value);
    if (!parsed.success) {
      const { path: at, message } = parsed.error.issues[0]!;
      throw damaged(`the entry of "${cut(name)}" is wrong (${at.join(".")}: ${message})`);
    }
    const { dtype, shape, data_offsets: offsets } = parsed.data;
    if (!isStoredDtype(dtype)) {
      const met = `"${cut(name)}" has dtype ${cut(dtype)}, which clip-ts cannot read`;
      throw new ClipError("CLIP_CHECKPOINT", `${path}: ${met}; save the model as float16 or float32`);
    }
    const byteLength = offsets[1] - offsets[0];
    const wanted = shape.reduce((total, dim) => total * dim, elementBytes[dtype]);
    if (byteLength !== wanted)
      throw damaged(`"${cut(name)}", ${dtype} [${shape.join(", ")}], needs ${wanted} bytes but has ${byteLength}`);
    if (start + offsets[1] > size)
      throw damaged(
        `"${cut(name)}" ends at byte ${start + offsets[1]}, but the file ends at ${size}: the rest is missing`,
      );
    tensors.set(name, { file, byteOffset: start + offsets[0], byteLength, dtype, shape });
  }
  const overlap = findOverlap(tensors);
  if (overlap) throw damaged(`"${cut(overlap[0])}" and "${cut(overlap[1])}" overlap`);
  return { tensors, metadata };
}

const isStoredDtype = (dtype: string): dtype is StoredDtype => Object.hasOwn(elementBytes, dtype);

/**
 * Nesting depth, number of values and number of top-level entries of a JSON text, without parsing it. Stops when a limit is
 * exceeded.
 */
function outline(json: Uint8Array): { readonly depth: number; readonly values: number; readonly entries: number } {
  let [depth, deepest, values, entries] = [0, 0, 0, 0];
  let inString = false;
  for (let i = 0; i < json.length && deepest <= maxNesting && values <= maxValues; i++) {
    const byte = json[i]!;
    if (inString) {
      if (byte === backslash) i++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (byte === openBrace || byte === openBracket) {
      deepest = Math.max(deepest, ++depth);
      values++;
    } else if (byte === closeBrace || byte === closeBracket) depth--;
    else if (byte === comma) values++;
    else if (byte === colon && depth === 1) entries++;
  }
  return { depth: deepest, values, entries };
}

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

async function readHeader(file: string, damaged: (problem: string) => ClipError) {
  const size = (await fileSize(file)) ?? 0;
  if (size < 8) throw damaged(`it has ${size} bytes`);
  const start = await readRange(file, 0, 8);
  const length = Number(new DataView(start.buffer).getBigUint64(0, true));
  if (length > maxHeaderBytes)
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `${file} is neither a safetensors nor a PyTorch file: its header would have ${length} bytes`,
    );
  if (length > size - 8) throw damaged(`it claims a header of ${length} bytes, but has ${size} bytes in total`);
  return { size, header: await readRange(file, 8, length) };
}

/** The first two tensors that share bytes, if any. */
function findOverlap(tensors: ReadonlyMap<string, StoredTensor>): readonly [string, string] | undefined {
  const filled = [...tensors].filter(([, { byteLength }]) => byteLength > 0);
  const inOrder = filled.sort(([, a], [, b]) => a.byteOffset - b.byteOffset);
  for (let i = 1; i < inOrder.length; i++) {
    const [[before, { byteOffset, byteLength }], [name, next]] = [inOrder[i - 1]!, inOrder[i]!];
    if (next.byteOffset < byteOffset + byteLength) return [before, name];
  }
  return undefined;
}
