import { z } from "zod";
import { ClipError } from "../core/errors.ts";
import { readRange, realFile, sizeOf } from "../core/files.ts";
import { elementBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

/** What a safetensors file holds. */
export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The strings of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The official reader's own limit. */
const maxHeaderBytes = 100_000_000;

const metadataSchema = z.record(z.string(), z.string());
const tensorSchema = z.strictObject({
  dtype: z.enum(Object.keys(elementBytes) as StoredDtype[]),
  shape: z.array(z.int().nonnegative()).max(16),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

/**
 * Reads what a safetensors file holds: its header, checked against the file, so that later reads stay inside it. Links
 * are followed: places are in the file itself, as ONNX Runtime wants them.
 *
 * @throws {ClipError} `CLIP_FILE` if the file cannot be read, `CLIP_CHECKPOINT` if it is no safetensors file or damaged.
 * @see {@link https://github.com/huggingface/safetensors | safetensors}, "Format".
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const damaged = (problem: string) =>
    new ClipError("CLIP_CHECKPOINT", `${path} is no whole safetensors file: ${problem}; download or save it again`);
  const file = await realFile(path);
  const { size, header } = await readHeader(file, damaged);

  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (cause) {
    throw damaged(`its header is no JSON (${(cause as Error).message})`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw damaged("its header is no JSON object");

  const start = 8 + header.length;
  const tensors = new Map<string, StoredTensor>();
  let metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw damaged("__metadata__ does not hold strings");
      metadata = new Map(Object.entries(parsed.data));
      continue;
    }
    const parsed = tensorSchema.safeParse(value);
    if (!parsed.success) {
      const { path: at, message } = parsed.error.issues[0]!;
      throw damaged(`the entry of "${name}" is wrong (${at.join(".")}: ${message})`);
    }
    const { dtype, shape, data_offsets: offsets } = parsed.data;
    const byteLength = offsets[1] - offsets[0];
    const wanted = shape.reduce((total, dim) => total * dim, elementBytes[dtype]);
    if (byteLength !== wanted)
      throw damaged(`"${name}", ${dtype} [${shape.join(", ")}], needs ${wanted} bytes, its place has ${byteLength}`);
    if (start + offsets[1] > size)
      throw damaged(`"${name}" ends at byte ${start + offsets[1]}, the file at ${size}: the rest is missing`);
    tensors.set(name, { file, byteOffset: start + offsets[0], byteLength, dtype, shape });
  }
  const overlap = findOverlap(tensors);
  if (overlap) throw damaged(`"${overlap[0]}" and "${overlap[1]}" overlap`);
  return { tensors, metadata };
}

async function readHeader(file: string, damaged: (problem: string) => ClipError) {
  const size = (await sizeOf(file)) ?? 0;
  if (size < 8) throw damaged(`it has ${size} bytes`);
  const start = await readRange(file, 0, 8);
  const length = Number(new DataView(start.buffer).getBigUint64(0, true));
  if (length > maxHeaderBytes)
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `${file} is no file of weights, safetensors or PyTorch's: it claims a header of ${length} bytes`,
    );
  if (length > size - 8) throw damaged(`it claims a header of ${length} bytes and has ${size} in all`);
  return { size, header: await readRange(file, 8, length) };
}

/** Two tensors that share bytes, if there are any. */
function findOverlap(tensors: ReadonlyMap<string, StoredTensor>): readonly [string, string] | undefined {
  const filled = [...tensors].filter(([, { byteLength }]) => byteLength > 0);
  const inOrder = filled.sort(([, a], [, b]) => a.byteOffset - b.byteOffset);
  for (let i = 1; i < inOrder.length; i++) {
    const [[before, { byteOffset, byteLength }], [name, next]] = [inOrder[i - 1]!, inOrder[i]!];
    if (next.byteOffset < byteOffset + byteLength) return [before, name];
  }
  return undefined;
}
