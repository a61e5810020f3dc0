import type { OwnBytes } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { apply, constant, type Tensor } from "../../engine/graph/tensor.ts";
import { parameterSpecs, type Specs, type WithLeaves } from "../nn/parameters.ts";
import { readParameter, storedParameters, type StoredParameters, transpose } from "./load.ts";

/** 8- or 4-bit weights with a scale per 32, which adds one bit per weight. */
export type QuantizedDtype = "q8" | "q4";

const bitsOf = { q8: 8, q4: 4 } as const satisfies Record<QuantizedDtype, number>;

/** Weights per scale; the size that ONNX Runtime's kernels support best. */
const weightBlock = 32;

/** The smallest normal float32. */
const smallestNormal = 2 ** -126;

/** A quantized matrix [N, K], input of the op `dequantize`. */
export interface QuantizedMatrix {
  /** [N, blocks, bytes]; a row's last block is padded with codes that mean 0. */
  readonly codes: TensorData<"uint8">;
  /** [N, blocks] */
  readonly scales: TensorData<"float32">;
  readonly columns: number;
  readonly bits: 4 | 8;
}

/** Bytes of a matrix's codes, without its scales. */
function codesOf([rows, columns]: readonly number[], dtype: QuantizedDtype, blockSize = weightBlock): number {
  return (rows! * Math.ceil(columns! / blockSize) * blockSize * bitsOf[dtype]) / 8;
}

/**
 * Rounds each block of numbers in a row to multiples of the block's scale, its largest magnitude divided by 127 or 7. The
 * error is at most half a scale.
 *
 * @param matrix - [N, K]
 * @param blockSize - numbers per scale: a power of two, at least 16.
 * @param codes - zeros to write into, {@link codesOf} bytes.
 * @throws {ClipError} `CLIP_CHECKPOINT` if a weight is not finite.
 */
export function quantizeMatrix(
  { data, shape }: TensorData<"float32">,
  dtype: QuantizedDtype,
  blockSize = weightBlock,
  codes: OwnBytes = new Uint8Array(codesOf(shape, dtype, blockSize)),
): QuantizedMatrix {
  const bits = bitsOf[dtype];
  const [rows, columns] = shape as readonly [number, number];
  const [blocks, bytes, middle] = [Math.ceil(columns / blockSize), (blockSize * bits) / 8, 2 ** (bits - 1)];
  const scales = new Float32Array(rows * blocks);
  const block = new Uint8Array(blockSize);
  for (let i = 0; i < scales.length; i++) {
    const first = (i % blocks) * blockSize;
    const start = Math.floor(i / blocks) * columns + first;
    const length = Math.min(blockSize, columns - first);
    let [largest, sum] = [0, 0];
    for (let j = 0; j < length; j++) {
      const size = Math.abs(data[start + j]!);
      sum += size;
      if (size > largest) largest = size;
    }
    if (!Number.isFinite(sum))
      throw new ClipError("CLIP_CHECKPOINT", "a weight is not finite, so the model cannot be quantized");
    // A subnormal scale has too few digits to divide by; such a block becomes zero.
    const scale = Math.fround(largest / (middle - 1));
    scales[i] = scale < smallestNormal ? 0 : scale;
    const inverse = scales[i] === 0 ? 0 : 1 / scale;
    block.fill(middle);
    // Storing into bytes truncates, so adding 0.5 rounds.
    for (let j = 0; j < length; j++) block[j] = middle + 0.5 + data[start + j]! * inverse;
    if (bits === 8) codes.set(block, i * bytes);
    else for (let j = 0; j < bytes; j++) codes[i * bytes + j] = block[2 * j]! | (block[2 * j + 1]! << 4);
  }
  return {
    codes: { dtype: "uint8", shape: [rows, blocks, bytes], data: codes },
    scales: float32(scales, [rows, blocks]),
    columns,
    bits,
  };
}

/** A matrix to quantize. */
export interface QuantizedPath {
  readonly path: string;
  /** The model stores it as [in, out]; a linear layer is [out, in]. */
  readonly transposed?: boolean;
}

/**
 * {@link storedParameters} with some matrices quantized, in memory. Only one matrix at a time is held as float32.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT`, see {@link quantizeMatrix}, with the weight's name; or if the file was truncated.
 */
export async function quantizedParameters<Model extends object>(
  model: Model & Specs<Model>,
  parameters: StoredParameters,
  matrices: readonly QuantizedPath[],
  dtype: QuantizedDtype,
): Promise<WithLeaves<Model, Tensor>> {
  const specs = parameterSpecs<Model>(model);
  const shapes = matrices.map(({ path, transposed = false }) => {
    const { shape } = specs.get(path)!;
    return { path, transposed, shape: transposed ? shape.toReversed() : shape };
  });
  // One large allocation returns to the system when freed; many small ones fragment the heap.
  const codes = new Uint8Array(shapes.reduce((sum, { shape }) => sum + codesOf(shape, dtype), 0));
  const tensors = new Map<string, Tensor>();
  let at = 0;
  for (const { path, transposed, shape } of shapes) {
    const matrix = await readParameter(parameters.get(path)!);
    const turned = transposed ? float32(transpose(matrix.data, shape), shape) : matrix;
    const tensor = dequantized(path, turned, dtype, codes.subarray(at, (at += codesOf(shape, dtype))));
    tensors.set(path, transposed ? tensor.T : tensor);
  }
  return storedParameters<Model>(model, parameters, tensors);
}

function dequantized(
  path: string,
  matrix: TensorData<"float32">,
  dtype: QuantizedDtype,
  into: Uint8Array<ArrayBuffer>,
): Tensor {
  try {
    const { codes, scales, columns, bits } = quantizeMatrix(matrix, dtype, weightBlock, into);
    return apply("dequantize", [constant(codes), constant(scales)], { columns, bits }).named(path);
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    throw new ClipError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}
