import { readFile } from "node:fs/promises";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { npyBytes, readNpy } from "../../inputs/data/npy.ts";

/** A unit vector and the id of its image or text. */
export interface NamedVector {
  /** Path of the image, relative to the source; or the text. */
  readonly id: string;
  /** float32 [embedDim] */
  readonly vector: Float32Array;
}

/** The vectors of a shard, each of `embedDim` numbers. */
export interface ShardVectors {
  readonly ids: readonly string[];
  readonly vectors: readonly Float32Array[];
  readonly embedDim: number;
}

interface VectorFiles {
  /** The files of a shard; the last one marks it as complete. */
  write(name: string, vectors: ShardVectors): { readonly name: string; readonly bytes: Uint8Array }[];
  /** @param path - without its ending. */
  read(path: string): AsyncGenerator<NamedVector>;
}

/**
 * The formats of a shard.
 *
 * - `parquet`: a column `id` of text and a column `embedding` of lists of float32;
 * - `npy`: float32 [n, embedDim], and the ids in `.ids.jsonl`, one JSON string a line.
 */
export const vectorFormats: Readonly<Record<"parquet" | "npy", VectorFiles>> = {
  parquet: {
    write: (name, { ids, vectors }) => [{ name: `${name}.parquet`, bytes: parquetBytes(ids, vectors) }],
    read: readParquetVectors,
  },
  npy: {
    write: (name, { ids, vectors, embedDim }) => {
      const all = new Float32Array(vectors.length * embedDim);
      for (const [row, vector] of vectors.entries()) all.set(vector, row * embedDim);
      return [
        { name: `${name}.ids.jsonl`, bytes: Buffer.from(ids.map((id) => `${JSON.stringify(id)}\n`).join("")) },
        { name: `${name}.npy`, bytes: npyBytes("<f4", [vectors.length, embedDim], all) },
      ];
    },
    read: readNpyVectors,
  },
};

/** The format of vectors in files. */
export type VectorFormat = keyof typeof vectorFormats;

/** Compression and statistics do nothing for numbers that look random. */
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

async function* readParquetVectors(path: string): AsyncGenerator<NamedVector> {
  const file = await asyncBufferFromFile(`${path}.parquet`);
  const metadata = await parquetMetadataAsync(file);
  let rowStart = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(num_rows);
    const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd });
    for (const { id, embedding } of rows as { id: string; embedding: number[] }[])
      yield { id, vector: Float32Array.from(embedding) };
    rowStart = rowEnd;
  }
}

async function* readNpyVectors(path: string): AsyncGenerator<NamedVector> {
  const ids = await readFile(`${path}.ids.jsonl`, "utf8");
  const { data, shape } = await readNpy(`${path}.npy`);
  const [, width = 0] = shape;
  for (const [row, line] of ids.split("\n").slice(0, -1).entries())
    yield { id: JSON.parse(line) as string, vector: data.slice(row * width, (row + 1) * width) };
}
