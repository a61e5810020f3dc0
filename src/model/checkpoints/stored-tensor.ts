import { ClipError } from "../../core/errors.ts";
import { readRange } from "../../core/files.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import type { TensorPlace } from "../../engine/graph/ops.ts";
import { decodeBfloat16, decodeFloat16 } from "../../core/half.ts";

/** Element size of each dtype in weight files, in bytes. */
export const elementBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** The element type of a tensor in a weight file. */
export type StoredDtype = keyof typeof elementBytes;

/** A tensor's location in a file; its values are read on demand. */
export interface StoredTensor extends TensorPlace {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** Axes in memory order, outermost first; default 0, 1, 2 …. */
  readonly order?: readonly number[];
}

/**
 * Reads a floating-point tensor as float32, exactly.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it has another dtype, or the file was truncated.
 */
export async function readFloats(tensor: StoredTensor): Promise<TensorData<"float32">> {
  const decode = floatDecoders[tensor.dtype];
  if (!decode) throw wrongDtype(tensor, Object.keys(floatDecoders));
  return float32(decode(await readTensorBytes(tensor)), tensor.shape);
}

/**
 * Reads an integer tensor as int32.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it has another dtype, a value exceeds int32, or the file was truncated.
 */
export async function readIntegers(tensor: StoredTensor): Promise<TensorData<"int32">> {
  const decode = integerDecoders[tensor.dtype];
  if (!decode) throw wrongDtype(tensor, Object.keys(integerDecoders));
  return int32(decode(await readTensorBytes(tensor), tensor), tensor.shape);
}

// Typed arrays have the machine's byte order. ONNX Runtime's platforms are all little-endian, as the files are.
const floatDecoders: Partial<Record<StoredDtype, (bytes: ArrayBuffer) => Float32Array>> = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => decodeFloat16(new Uint16Array(bytes)),
  BF16: (bytes) => decodeBfloat16(new Uint16Array(bytes)),
};

const integerDecoders: Partial<Record<StoredDtype, (bytes: ArrayBuffer, tensor: StoredTensor) => Int32Array>> = {
  I64: (bytes, { file }) => {
    const values = new BigInt64Array(bytes);
    const beyond = values.find((value) => value !== BigInt.asIntN(32, value));
    if (beyond !== undefined) throw new ClipError("CLIP_CHECKPOINT", `${file}: ${beyond} does not fit into 32 bits`);
    return Int32Array.from(values, Number);
  },
  I32: (bytes) => new Int32Array(bytes),
  U8: (bytes) => Int32Array.from(new Uint8Array(bytes)),
};

function wrongDtype({ file, dtype }: StoredTensor, known: readonly string[]): ClipError {
  return new ClipError("CLIP_CHECKPOINT", `${file}: a tensor has dtype ${dtype}; supported are ${known.join(", ")}`);
}

/** The bytes of a tensor in row-major order. */
export async function readTensorBytes(tensor: StoredTensor): Promise<ArrayBuffer> {
  const { file, byteOffset, byteLength, shape, order, dtype } = tensor;
  const bytes = await readRange(file, byteOffset, byteLength);
  return order ? inOrder(bytes, shape, order, elementBytes[dtype]).buffer : bytes.buffer;
}

/**
 * Rearranges a tensor's bytes into row-major order.
 *
 * @param order - axes of `bytes` in memory order, outermost first.
 * @param size - bytes per element.
 */
export function inOrder(
  bytes: Uint8Array,
  shape: readonly number[],
  order: readonly number[],
  size: number,
): Uint8Array<ArrayBuffer> {
  const strides = Array<number>(shape.length).fill(0);
  let stride = size;
  for (const axis of order.toReversed()) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  const ordered = new Uint8Array(bytes.length);
  let to = 0;
  const copy = (axis: number, from: number) => {
    if (axis === shape.length) {
      for (let i = 0; i < size; i++) ordered[to++] = bytes[from + i]!;
      return;
    }
    for (let i = 0; i < shape[axis]!; i++) copy(axis + 1, from + i * strides[axis]!);
  };
  copy(0, 0);
  return ordered;
}
