/** Element types of tensors in a graph. Half-precision weights are cast to float32 when they are loaded. */
export type Dtype = "float32" | "int64" | "int32" | "uint8" | "bool" | "float16" | "bfloat16";

/** What holds the elements of each {@link Dtype} in memory; bool is a byte of 0 or 1, half precisions are their bits. */
export interface DtypeArrays {
  float32: Float32Array;
  int64: BigInt64Array;
  int32: Int32Array;
  uint8: Uint8Array;
  bool: Uint8Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
}

/** Any array that holds tensor elements. */
export type TypedArray = DtypeArrays[Dtype];

/** Bytes in an `ArrayBuffer` of their own: `Uint8Array<ArrayBuffer>`, which TypeScript before 5.7 has no name for. */
export type OwnBytes = ReturnType<Uint8Array["slice"]>;

const constructors = {
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
} satisfies { readonly [Name in Dtype]: new (length: number) => DtypeArrays[Name] };

/** An array of `length` zeros for elements of this dtype. */
export function zeros<Name extends Dtype>(dtype: Name, length: number): DtypeArrays[Name] {
  return new constructors[dtype](length) as DtypeArrays[Name];
}

/** The bytes of one element. */
export function bytesPerElement(dtype: Dtype): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}
