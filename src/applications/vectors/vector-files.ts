import { parquetWriteBuffer } from "hyparquet-writer";
import { npyBytes } from "../../inputs/data/npy.ts";

/** A file that is written. */
export interface WrittenFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Vectors and the names of what they are of. */
export interface NamedVectors {
  /** n of them. */
  readonly ids: readonly string[];
  /** n of them, each of `embedDim` numbers. */
  readonly vectors: readonly Float32Array[];
  readonly embedDim: number;
}

/**
 * The files of a shard by format; the last says that it is whole.
 *
 * - `parquet`: a column `id` of text and a column `embedding` of lists of float32;
 * - `npy`: float32 [n, embedDim], and beside it the names, one JSON string a line.
 */
export const vectorFormats = {
  parquet: (name: string, { ids, vectors }: NamedVectors): WrittenFile[] => [
    { name: `${name}.parquet`, bytes: parquetBytes(ids, vectors) },
  ],
  npy: (name: string, { ids, vectors, embedDim }: NamedVectors): WrittenFile[] => {
    const all = new Float32Array(vectors.length * embedDim);
    for (const [row, vector] of vectors.entries()) all.set(vector, row * embedDim);
    return [
      { name: `${name}.ids.jsonl`, bytes: Buffer.from(ids.map((id) => `${JSON.stringify(id)}\n`).join("")) },
      { name: `${name}.npy`, bytes: npyBytes("<f4", [vectors.length, embedDim], all) },
    ];
  },
} as const;

/** How vectors are stored. */
export type VectorFormat = keyof typeof vectorFormats;

/** Vectors of numbers that look random are not made smaller by compression, nor found by their least and greatest. */
const plain = { codec: "UNCOMPRESSED", statistics: false, encoding: "PLAIN" } as const;

function parquetBytes(ids: readonly string[], vectors: readonly Float32Array[]): Uint8Array {
  const columnData = [
    { name: "id", data: [...ids] },
    { name: "embedding", data: vectors.map((vector) => Array.from(vector)), ...plain },
  ];
  return new Uint8Array(
    parquetWriteBuffer({
      columnData,
      schema: [
        { name: "root", num_children: 2 },
        { name: "id", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
        { name: "embedding", converted_type: "LIST", num_children: 1, repetition_type: "REQUIRED" },
        { name: "list", num_children: 1, repetition_type: "REPEATED" },
        { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
      ],
    }),
  );
}
