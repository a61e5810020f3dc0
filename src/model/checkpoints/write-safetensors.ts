import { type WatchOptions, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import { encodeFloat16 } from "../../core/half.ts";
import { elementBytes, type StoredDtype } from "./stored-tensor.ts";

export interface WriteOptions {
  /** Dtype for float32 tensors of two or more axes; smaller ones stay float32. */
  readonly dtype?: "F32" | "F16";
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A tensor whose bytes are produced when they are written. */
export interface DeferredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** Their number must match dtype and shape. */
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
 * Writes a safetensors file, atomically. Tensors are sorted by element size, largest first, for alignment, then by name, so
 * equal tensors give equal files.
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
    const bytes = () => rawBytes(halved ? encodeFloat16(tensor.data as Float32Array) : tensor.data);
    return [name, { dtype: halved ? "F16" : writtenAs[tensor.dtype], shape, bytes }];
  });
  await writeDeferred(path, new Map(deferred), { metadata });
}

/** The bytes of an array, without copying. */
export function rawBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * {@link writeSafetensors} with one tensor in memory at a time.
 *
 * @throws {ClipError} `CLIP_FILE` as above; `CLIP_CHECKPOINT` if a tensor's number of bytes does not match its shape.
 */
export async function writeDeferred(
  path: string,
  tensors: ReadonlyMap<string, DeferredTensor>,
  { metadata = {}, ...watch }: WatchOptions & Pick<WriteOptions, "metadata"> = {},
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
        throw new ClipError("CLIP_CHECKPOINT", `${name} has ${bytes.length} bytes, its shape needs ${end - begin}`);
      yield bytes;
    }
  }
  await writeFileAtomic(path, chunks(), { ...watch, total: 8 + padded.length + offset });
}
