import { crc32 } from "node:zlib";
import { ClipError } from "../../../core/errors.ts";
import { readRange } from "../../../core/files.ts";
import { float32 } from "../../../core/tensor-data.ts";
import { apply, input, stored, type Tensor, where } from "../../../engine/graph/tensor.ts";
import { Session } from "../../../engine/runtime/session.ts";
import { quantizeMatrix } from "../../../model/checkpoints/quantize.ts";
import { openSafetensors } from "../../../model/checkpoints/safetensors.ts";
import { readFloats, type StoredTensor } from "../../../model/checkpoints/stored-tensor.ts";
import { rawBytes, type DeferredTensor, writeDeferred } from "../../../model/checkpoints/write-safetensors.ts";

/** Rows of a search index: unit vectors by id. */
export interface Rows {
  /** Ascending. */
  readonly ids: Float64Array;
  /** [ids, dim] */
  readonly vectors: Float32Array;
}

/** A row that may be among the best, with its score. */
export interface ScoredRow {
  readonly id: number;
  readonly score: number;
}

/** How a segment stores its rows: exactly, or with 4 bits per number. */
export type Precision = "float32" | "q4";

/** Increase when the format changes; segments of other versions are rebuilt. */
const version = "1";
/** Numbers per scale: larger blocks are faster, and rescoring makes up for the coarser codes. */
const blockSize = 128;
/** A score below all others. */
const excluded = -4;

/**
 * Sealed rows of a search index: a file, and the program that scans it. A query against stored unit vectors is a linear layer, so
 * ONNX Runtime's kernels for quantized layers scan them.
 */
export class Segment implements AsyncDisposable {
  readonly path: string;
  readonly ids: Float64Array;
  readonly dim: number;
  readonly precision: Precision;
  readonly #rows: Tensor;
  /** Subtracted from the rows before quantization: CLIP's vectors have a common mean, which would cost bits. */
  readonly #mean: Float32Array;
  readonly #sessions = new Map<number, Promise<Session>>();

  private constructor(path: string, ids: Float64Array, mean: Float32Array, precision: Precision, rows: Tensor) {
    this.path = path;
    this.ids = ids;
    this.dim = mean.length;
    this.precision = precision;
    this.#mean = mean;
    this.#rows = rows;
  }

  /**
   * Reads a segment's file.
   *
   * @throws {ClipError} `CLIP_FILE` or `CLIP_CHECKPOINT` if the file is missing, damaged, or of another version.
   */
  static async open(path: string): Promise<Segment> {
    const { tensors, metadata } = await openSafetensors(path);
    const tensor = (name: string): StoredTensor => tensors.get(name) ?? damaged(path, `it has no ${name}`);
    if (metadata.get("version") !== version) damaged(path, "it was written by another version");
    const precision: Precision = tensors.has("codes") ? "q4" : "float32";
    const parts = precision === "q4" ? [tensor("codes"), tensor("scales")] : [tensor("rows")];
    const { file, byteOffset, byteLength } = tensor("ids");
    const ids = new Float64Array((await readRange(file, byteOffset, byteLength)).buffer);
    const { data: mean } = await readFloats(tensor("mean"));
    const checksum = await checksumOf(parts);
    if (metadata.get("crc32") !== String(crc32(rawBytes(ids), checksum))) damaged(path, "its checksum differs");
    return new Segment(path, ids, mean, precision, storedRows(parts, mean.length));
  }

  /** Writes rows to a file, atomically. */
  static async write(path: string, { ids, vectors }: Rows, precision: Precision): Promise<void> {
    const dim = vectors.length / ids.length;
    const mean = precision === "q4" ? meanOf(vectors, dim) : new Float32Array(dim);
    const parts = precision === "q4" ? codesOf(vectors, mean) : { rows: f32(vectors, [ids.length, dim]) };
    let checksum = 0;
    for (const { bytes } of Object.values(parts)) checksum = crc32(bytes(), checksum);
    const metadata = { version, crc32: String(crc32(rawBytes(ids), checksum)) };
    const tensors = { ...parts, mean: f32(mean, [dim]), ids: deferred("F64", ids, [ids.length]) };
    await writeDeferred(path, new Map(Object.entries(tensors)), { metadata });
  }

  /**
   * The rows with the highest scores, best first.
   *
   * @param query - float32 [dim], of length 1.
   * @param allowed - for each row whether it takes part.
   */
  async scan(query: Float32Array, k: number, allowed: Uint8Array): Promise<ScoredRow[]> {
    const session = await this.#session(Math.min(k, this.ids.length));
    const { best, scores } = await session.run({
      query: float32(query, [1, this.dim]),
      allowed: { dtype: "bool", shape: [this.ids.length], data: allowed },
    });
    let shift = 0;
    for (let i = 0; i < this.dim; i++) shift += this.#mean[i]! * query[i]!;
    const found = Array.from(best!.data as Int32Array, (row, i) => ({
      id: this.ids[row]!,
      score: (scores!.data as Float32Array)[i]!,
    }));
    return found.filter(({ score }) => score > excluded).map(({ id, score }) => ({ id, score: score + shift }));
  }

  #session(k: number): Promise<Session> {
    const known = this.#sessions.get(k);
    if (known) return known;
    const session = Session.compile(scanProgram(this.#rows, this.ids.length, this.dim, k), {
      // Exact rows are read where the file is mapped; prepacking would copy them.
      prepack: this.precision === "q4",
      device: "cpu",
      // The segments are scanned in turn.
      spin: false,
    });
    this.#sessions.set(k, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }
}

/** The scan: a linear layer without bias, and the best of its outputs. */
function scanProgram(rows: Tensor, count: number, dim: number, k: number): Record<string, Tensor> {
  const scores = input("query", [1, dim]).matmul(rows.T).reshape([count]);
  const taking = where(input("allowed", [count], "bool"), scores, excluded);
  const best = taking.topK(k);
  return { best, scores: taking.gather(best) };
}

function storedRows([first, scales]: readonly StoredTensor[], dim: number): Tensor {
  if (!scales) return stored("rows", first!.shape, "float32", first!);
  const codes = stored("codes", first!.shape, "uint8", first!);
  return apply("dequantize", [codes, stored("scales", scales.shape, "float32", scales)], { columns: dim, bits: 4 });
}

function meanOf(vectors: Float32Array, dim: number): Float32Array {
  const sums = new Float64Array(dim);
  for (let at = 0; at < vectors.length; at += dim) for (let i = 0; i < dim; i++) sums[i]! += vectors[at + i]!;
  return Float32Array.from(sums, (sum) => sum / (vectors.length / dim));
}

function codesOf(vectors: Float32Array, mean: Float32Array): Record<string, Content> {
  const dim = mean.length;
  const centred = new Float32Array(vectors.length);
  for (let at = 0; at < vectors.length; at += dim)
    for (let i = 0; i < dim; i++) centred[at + i] = vectors[at + i]! - mean[i]!;
  const { codes, scales } = quantizeMatrix(float32(centred, [vectors.length / dim, dim]), "q4", blockSize);
  return { codes: deferred("U8", codes.data, codes.shape), scales: f32(scales.data, scales.shape) };
}

interface Content extends DeferredTensor {
  readonly bytes: () => Uint8Array;
}

const deferred = (dtype: DeferredTensor["dtype"], data: ArrayBufferView, shape: readonly number[]): Content => ({
  dtype,
  shape,
  bytes: () => rawBytes(data),
});
const f32 = (data: Float32Array, shape: readonly number[]) => deferred("F32", data, shape);

/** Bytes per read of a checksum. */
const chunkBytes = 2 ** 24;

async function checksumOf(tensors: readonly StoredTensor[]): Promise<number> {
  let checksum = 0;
  for (const { file, byteOffset, byteLength } of tensors)
    for (let at = 0; at < byteLength; at += chunkBytes)
      checksum = crc32(await readRange(file, byteOffset + at, Math.min(chunkBytes, byteLength - at)), checksum);
  return checksum;
}

function damaged(path: string, problem: string): never {
  throw new ClipError("CLIP_CHECKPOINT", `${path} is not a usable part of the search cache: ${problem}`);
}
