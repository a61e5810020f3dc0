import type { Dtype, DtypeArrays } from "./dtype.ts";

/** A concrete tensor: elements in row-major order, with dtype and shape. */
export interface TensorData<Name extends Dtype = Dtype> {
  readonly dtype: Name;
  readonly shape: readonly number[];
  readonly data: DtypeArrays[Name];
}

/** A float32 tensor of these elements and shape. */
export function float32(data: Float32Array | readonly number[], shape: readonly number[]): TensorData<"float32"> {
  return { dtype: "float32", shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

/** An int32 tensor of these elements and shape. */
export function int32(data: Int32Array | readonly number[], shape: readonly number[]): TensorData<"int32"> {
  return { dtype: "int32", shape, data: data instanceof Int32Array ? data : Int32Array.from(data) };
}

export function concatenate(arrays: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(arrays.reduce((total, { length }) => total + length, 0));
  let offset = 0;
  for (const array of arrays) {
    all.set(array, offset);
    offset += array.length;
  }
  return all;
}
