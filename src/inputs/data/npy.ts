import { sizeOf } from "../../core/shape.ts";
import { readFile } from "node:fs/promises";
import { decodeFloat16 } from "../../core/half.ts";
import { ClipError } from "../../core/errors.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";

/** NumPy's names of element types, with their decoders. */
const decoders: Readonly<Record<string, (bytes: Uint8Array) => Float32Array>> = {
  "|b1": (bytes) => Float32Array.from(bytes),
  "|u1": (bytes) => Float32Array.from(bytes),
  "<i4": (bytes) => Float32Array.from(new Int32Array(aligned(bytes))),
  "<i8": (bytes) => Float32Array.from(new BigInt64Array(aligned(bytes)), Number),
  "<f2": (bytes) => decodeFloat16(new Uint16Array(aligned(bytes))),
  "<f4": (bytes) => new Float32Array(aligned(bytes)),
};

const aligned = (bytes: Uint8Array) => new Uint8Array(bytes).buffer;

/**
 * Reads an array that NumPy has saved (format 1, row-major order) as float32, which holds bytes, half precision and whole numbers up to
 * 2^24 exactly.
 *
 * @throws {ClipError} `CLIP_DATA` if the file cannot be read, is of another kind, or is cut short.
 */
export async function readNpy(path: string): Promise<TensorData<"float32">> {
  const bytes = await readFile(path).catch((cause: Error) => {
    throw new ClipError("CLIP_DATA", `cannot read ${path}: ${cause.message}`, { cause });
  });
  return parseNpy(bytes, path);
}

/**
 * {@link readNpy} for bytes in memory.
 *
 * @param name - for messages.
 */
export function parseNpy(content: Uint8Array, name: string): TensorData<"float32"> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  if (bytes.length < 10 || bytes.toString("latin1", 0, 7) !== "\x93NUMPY\x01")
    throw new ClipError("CLIP_DATA", `${name} is no array as NumPy saves it in its format 1`);
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  const [, dtype = "", order, dims] =
    /'descr': '([^']+)', 'fortran_order': (\w+), 'shape': \(([^)]*)\)/.exec(header) ?? [];
  const decode = decoders[dtype];
  if (!decode || order !== "False" || dims === undefined) {
    const known = Object.keys(decoders).join(", ");
    throw new ClipError("CLIP_DATA", `${name} says ${header.trim()}; read are ${known}, in row-major order`);
  }
  const shape = Array.from(dims.matchAll(/\d+/g), Number);
  const elements = sizeOf(shape);
  const wanted = elements * Number(dtype.at(-1));
  if (bytes.length - start !== wanted)
    throw new ClipError("CLIP_DATA", `${name} has ${bytes.length - start} bytes of numbers and promises ${wanted}`);
  return float32(decode(bytes.subarray(start)), shape);
}

/** An array in NumPy's format 1; `data` is in row-major order. */
export function npyBytes(dtype: string, shape: readonly number[], data: ArrayBufferView): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${dims}), }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64 - 10;
  const start = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header.padEnd(length - 1)}\n`, "latin1");
  start.writeUInt16LE(length, 8);
  return Buffer.concat([start, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}
