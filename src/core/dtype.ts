/** Element types of tensors in a graph. Half-precision weights are cast to float32 when they are loaded. */
export type Dtype = "float32" | "int64" | "int32" | "uint8" | "bool" | "float16" | "bfloat16";

/** Array type of each {@link Dtype}: bool is a byte of 0 or 1, half precision is stored as bits. */
export interface DtypeArrays {
  float32: Float32Array;
  int64: BigInt64Array;
  int32: Int32Array;
  uint8: Uint8Array;
  bool: Uint8Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
}

export type TypedArray = DtypeArrays[Dtype];

/** `Uint8Array<ArrayBuffer>`, which TypeScript before 5.7 cannot express. */
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

export function zeros<Name extends Dtype>(dtype: Name, length: number): DtypeArrays[Name] {
  return new constructors[dtype](length) as DtypeArrays[Name];
}

export function bytesPerElement(dtype: Dtype): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}
