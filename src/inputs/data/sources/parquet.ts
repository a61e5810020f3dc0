import { resolve } from "node:path";
import { asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { ClipError } from "../../../core/errors.ts";
import { keptShard } from "../plain-shard.ts";
import { PairCollector, type Pairs, type SourceOptions } from "./samples.ts";
import { checkPages } from "./parquet-pages.ts";
import { captionBytes, collectShard } from "./shards.ts";
import { captionsOf, chooseColumns, type PairColumns, pairsOfRows, type PairRow, textsOf } from "./table.ts";
import { BadRows } from "../table.ts";
import { listTar, tarBytes, type TarContent } from "../tar.ts";
import { assertFile } from "../text.ts";

/** Limit for a row group, which is read as a whole. */
const maxGroupBytes = 2 ** 30;

/** Limit for rows per group, beyond that of all writers: memory is allocated per row before values are read. */
const maxGroupRows = 2 ** 25;

/**
 * Pairs of a Parquet table whose images are paths, bytes, or structures of both as in Hugging Face data sets. Embedded images are
 * first written to a cached shard: compressed columns allow no random access.
 */
export async function readParquet(path: string, options: SourceOptions): Promise<Pairs> {
  const table = await openTable(path);
  const columns = chooseColumns(path, table.names, options);
  if (!(await hasImages(table, columns)))
    return pairsOfRows(path, (_, choose) => readPaths(table, choose(table.names)), options);
  const how = JSON.stringify([columns, options.classTemplates]);
  const { file } = await keptShard(resolve(path), how, () => tarBytes(rowsAsFiles(table, columns, options)));
  const collected = new PairCollector();
  const { synthetic, imagesOnly } = options;
  await collectShard({ file, name: path }, { synthetic, imagesOnly }, collected);
  const isProblem = (name: string) => name.endsWith(problemEnding);
  const { entries } = await listTar(file, (name, length) => (isProblem(name) ? length : undefined));
  for (const { name, content } of entries.filter(({ name }) => isProblem(name))) {
    const place = name.slice(0, -problemEnding.length).replace("-", " ");
    collected.skip(`${path}, ${place}`, new TextDecoder().decode(content));
  }
  return collected;
}

/** Ending of files in a converted shard that hold the reason why a row was skipped. */
const problemEnding = ".problem";

/** The rows of a table without embedded images; Hugging Face structures then have only a path. */
async function* readPaths(table: Table, columns: PairColumns): AsyncGenerator<PairRow> {
  for await (const row of readRows(table, columns)) {
    const { image } = row;
    yield typeof image === "object" && image !== null && "path" in image ? { ...row, image: asText(image.path) } : row;
  }
}

const encrypted = "it is encrypted; write it without";

interface Table {
  readonly path: string;
  readonly file: Awaited<ReturnType<typeof asyncBufferFromFile>>;
  readonly metadata: FileMetaData;
  readonly names: readonly string[];
}

async function openTable(path: string): Promise<Table> {
  await assertFile(path);
  try {
    const file = await asyncBufferFromFile(path);
    if (Buffer.from(await file.slice(Math.max(0, file.byteLength - 4))).toString("latin1") === "PARE")
      throw new Error(encrypted);
    const metadata = await parquetMetadataAsync(file);
    if (metadata.row_groups.some(({ columns }) => columns.some(({ crypto_metadata }) => crypto_metadata)))
      throw new Error(encrypted);
    const [root, ...elements] = metadata.schema;
    const names: string[] = [];
    for (let at = 0; names.length < root!.num_children!; at = endOf(elements, at)) names.push(elements[at]!.name);
    if (!names.every((name) => typeof name === "string")) throw new Error("a column has no name");
    return { path, file, metadata, names };
  } catch (cause) {
    throw damaged(path, cause);
  }
}

/** The index after an element and its children; the schema is a tree, parents first. */
function endOf(elements: readonly { readonly num_children?: number }[], at: number): number {
  let end = at + 1;
  for (let left = elements[at]!.num_children ?? 0; left > 0; left--) end = endOf(elements, end);
  return end;
}

async function hasImages(table: Table, columns: PairColumns): Promise<boolean> {
  for await (const { image } of readRows(table, columns)) {
    if (typeof image === "string" || bytesOf(image)) return typeof image !== "string";
  }
  return false;
}

async function* readRows(
  { path, file, metadata }: Table,
  { image, caption, synthetic }: PairColumns,
): AsyncGenerator<PairRow> {
  const columns = [image, caption, synthetic].filter((name) => name !== undefined);
  let rowStart = 0;
  for (const group of groupsOf(path, metadata, columns)) {
    if (group.bytes > maxGroupBytes)
      throw new ClipError("CLIP_DATA", `${path} has ${group.bytes} bytes in a row group; write it with smaller ones`);
    for (const { start, end, values } of group.chunks) {
      try {
        if (!(end <= file.byteLength)) throw new Error("a column lies outside the file");
        checkPages(new Uint8Array(await file.slice(start, end)), values);
      } catch (cause) {
        throw damaged(path, cause);
      }
    }
    const rowEnd = rowStart + group.rows;
    const options = { file, metadata, columns, rowStart, rowEnd, compressors, utf8: false };
    const rows = await parquetReadObjects(options).catch((cause: unknown) => {
      throw damaged(path, cause);
    });
    for (const [i, row] of rows.entries()) {
      const textIn = (name: string | undefined) => name && asText(row[name]);
      const texts = { caption: textIn(caption), synthetic: textIn(synthetic) };
      yield { place: `row ${rowStart + i + 1}`, image: asText(row[image]), ...texts };
    }
    rowStart = rowEnd;
  }
}

/** A row group with the byte ranges of its wanted columns. */
interface Group {
  readonly rows: number;
  readonly bytes: number;
  readonly chunks: readonly { readonly start: number; readonly end: number; readonly values: number }[];
}

/** The row groups, checked against limits since the file is not trusted. */
function groupsOf(path: string, { row_groups: groups }: FileMetaData, columns: readonly string[]): Group[] {
  try {
    return groups.map((group) => {
      const wanted = group.columns.filter(({ meta_data }) => columns.includes(meta_data!.path_in_schema[0]!));
      const bytes = wanted.reduce((sum, { meta_data }) => sum + Number(meta_data!.total_uncompressed_size), 0);
      const rows = Number(group.num_rows);
      if (!(rows >= 0 && rows <= maxGroupRows && bytes >= 0)) throw new Error("a row group has an impossible size");
      const chunks = wanted.map(({ meta_data: column }) => {
        const starts = [column!.dictionary_page_offset, column!.data_page_offset].filter(
          (start) => start !== undefined,
        );
        const start = Math.min(...starts.map(Number).filter((start) => start > 0));
        const [length, values] = [Number(column!.total_compressed_size), Number(column!.num_values)];
        if (!(start > 0 && length >= 0 && values >= 0 && values <= maxGroupRows && start + length < Infinity))
          throw new Error("a column has an impossible size");
        return { start, end: start + length, values };
      });
      return { rows, bytes, chunks };
    });
  } catch (cause) {
    throw damaged(path, cause);
  }
}

/** Many files do not mark text columns: short values that are UTF-8 are read as text. */
function asText(value: unknown): unknown {
  if (!(value instanceof Uint8Array) || value.length > 4096) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return value;
  }
}

function bytesOf(image: unknown): Uint8Array | undefined {
  const bytes = typeof image === "object" && image !== null && "bytes" in image ? image.bytes : image;
  return bytes instanceof Uint8Array ? bytes : undefined;
}

/**
 * The rows as files of a shard: image and captions under the row's number, or the reason why it was skipped.
 *
 * @throws {ClipError} `CLIP_DATA` if half of the rows or more cannot be used.
 */
async function* rowsAsFiles(table: Table, columns: PairColumns, options: SourceOptions): AsyncGenerator<TarContent> {
  const bad = new BadRows(table.path);
  for await (const { place, image, caption, synthetic } of readRows(table, columns)) {
    const name = place.replace(" ", "-");
    const captions = options.imagesOnly ? undefined : captionsOf(caption, columns, options);
    const parts = textsOf(synthetic, columns.synthetic);
    const bytes = bytesOf(image);
    if (!bytes || typeof captions === "string" || typeof parts === "string") {
      const problem = bytes
        ? [captions, parts].find((found) => typeof found === "string")!
        : `"${columns.image}" holds no image`;
      bad.add({ place, problem });
      yield { name: `${name}${problemEnding}`, bytes: new TextEncoder().encode(problem) };
      continue;
    }
    bad.countGood();
    yield { name: `${name}.jpg`, bytes };
    if (!captions) continue;
    yield { name: `${name}.txt`, bytes: captionBytes(captions) };
    if (parts.length > 0) yield { name: `${name}.synthetic.txt`, bytes: captionBytes(parts) };
  }
  bad.assertFew();
}

function damaged(path: string, cause: unknown): ClipError {
  return new ClipError("CLIP_DATA", `${path} cannot be read as a Parquet table: ${(cause as Error).message}`, {
    cause,
  });
}
