import { open, realpath } from "node:fs/promises";
import { z } from "zod";
import { writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import type { TensorData } from "../core/tensor-data.ts";
import { encodeFloat16 } from "./half.ts";
import { cannotRead, elementBytes, readBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

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
  const file = await realpath(path).catch((cause: Error) => cannotRead(path, cause));
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
  const handle = await open(file, "r").catch((cause: Error) => cannotRead(file, cause));
  try {
    const { size } = await handle.stat();
    if (size < 8) throw damaged(`it has ${size} bytes`);
    const length = Number((await readBytes(handle, file, 0, 8)).readBigUInt64LE());
    if (length > Math.min(maxHeaderBytes, size - 8))
      throw damaged(`it claims a header of ${length} bytes and has ${size} in all`);
    return { size, header: await readBytes(handle, file, 8, length) };
  } finally {
    await handle.close();
  }
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

/** How {@link writeSafetensors} writes. */
export interface WriteOptions {
  /** What float32 tensors of two axes or more are written as; the few numbers in smaller ones keep all their digits. */
  readonly dtype?: "F32" | "F16";
  /** Strings for `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A tensor whose bytes are made when they are written. */
export interface DeferredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** As many as dtype and shape say. */
  readonly bytes: () => Promise<Uint8Array> | Uint8Array;
}

const writtenAs = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  bool: "BOOL",
  uint8: "U8",
} as const;

/**
 * Writes a safetensors file, whole or not at all. The same tensors give the same bytes in whatever order they come:
 * widest elements first, so that each lies at a multiple of its size, then by name.
 *
 * @throws {ClipError} `CLIP_FILE` if the disk is full or the folder cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  { dtype = "F32", metadata = {} }: WriteOptions = {},
): Promise<void> {
  const deferred = Array.from(tensors, ([name, { shape, ...tensor }]): [string, DeferredTensor] => {
    const halved = tensor.dtype === "float32" && shape.length > 1 && dtype === "F16";
    const bytes = () => bytesOf(halved ? encodeFloat16(tensor.data as Float32Array) : tensor.data);
    return [name, { dtype: halved ? "F16" : writtenAs[tensor.dtype], shape, bytes }];
  });
  await writeDeferred(path, new Map(deferred), metadata);
}

/** The bytes of an array's elements. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * {@link writeSafetensors} of tensors that need not all be in memory.
 *
 * @throws {ClipError} as that does; `CLIP_CHECKPOINT` if a tensor has another number of bytes than it said.
 */
export async function writeDeferred(
  path: string,
  tensors: ReadonlyMap<string, DeferredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const order = [...tensors].sort(
    ([a, x], [b, y]) => elementBytes[y.dtype] - elementBytes[x.dtype] || (a < b ? -1 : 1),
  );
  let offset = 0;
  const entries = order.map(([name, { dtype, shape }]) => {
    const begin = offset;
    offset += shape.reduce((total, size) => total * size, elementBytes[dtype] as number);
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const;
  });
  const sorted = Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)));
  const json = JSON.stringify(Object.fromEntries([["__metadata__", sorted], ...entries]));
  const header = Buffer.from(json);
  const padded = Buffer.concat([header, Buffer.alloc((8 - (header.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));

  async function* chunks() {
    yield length;
    yield padded;
    for (const [i, [name, tensor]] of order.entries()) {
      const bytes = await tensor.bytes();
      const [begin, end] = entries[i]![1].data_offsets as [number, number];
      if (bytes.length !== end - begin)
        throw new ClipError("CLIP_CHECKPOINT", `${name} has ${bytes.length} bytes, its shape asks for ${end - begin}`);
      yield bytes;
    }
  }
  await writeFileAtomic(path, chunks());
}
