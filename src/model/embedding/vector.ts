import { ClipError } from "../../core/errors.ts";
import type { TensorData } from "../../core/tensor-data.ts";

/**
 * Returns a vector unchanged after checking it.
 *
 * @param nameOf - its image or text, for the message.
 * @throws {ClipError} `CLIP_RUNTIME` if it is zero or not finite.
 */
export function checkedVector(vector: Float32Array, nameOf: () => string): Float32Array {
  let squares = 0;
  for (const value of vector) squares += value * value;
  if (squares > 0 && squares < Infinity) return vector;
  const problem = squares === 0 ? "is zero" : "holds numbers that are not finite";
  throw new ClipError(
    "CLIP_RUNTIME",
    `the vector of ${nameOf()} ${problem}: the model's weights are damaged or overflowed; fetch or convert it again`,
  );
}

/** Copies of the rows of a float32 matrix. */
export function rowsOf({ data, shape }: TensorData): Float32Array[] {
  const [count, size] = shape as [number, number];
  return Array.from({ length: count }, (_, i) => (data as Float32Array).slice(i * size, (i + 1) * size));
}
