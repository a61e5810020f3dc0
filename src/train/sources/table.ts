import { access } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { ClipError } from "../../core/errors.ts";
import { asCaptions, fillTemplates, PairCollector, type Pairs, type Picture, type SourceOptions } from "./samples.ts";
import { maxLineLength, readText } from "./text.ts";

/** One row of a table or line of a JSONL file. */
export interface Row {
  /** Where it stands, for messages: "line 3", the line in which it ends, counted from 1. */
  readonly place: string;
  readonly image: unknown;
  readonly caption: unknown;
}

/** Names of the two columns that are read. */
export interface Columns {
  readonly image: string;
  /** Undefined where captions are not read. */
  readonly caption: string | undefined;
}

/** Finds the two among the names that there are. */
export type ChooseColumns = (names: readonly string[]) => Columns;

/** If not one of so many pictures exists, the paths are wrong rather than the pictures. */
const probedImages = 16;

const rowReaders: Readonly<Record<string, (path: string, choose: ChooseColumns) => AsyncIterable<Row>>> = {
  ".csv": (path, choose) => readSeparated(path, ",", choose),
  ".tsv": (path, choose) => readSeparated(path, "\t", choose),
  ".jsonl": readJsonLines,
};

/** Whether a file is a table by its name. */
export function isTableName(path: string): boolean {
  return extname(path).toLowerCase() in rowReaders;
}

/** Pairs of a CSV, TSV or JSONL file; paths in it are relative to its folder. */
export async function readTable(path: string, options: SourceOptions): Promise<Pairs> {
  return pairsOfRows(path, rowReaders[extname(path).toLowerCase()]!, options);
}

/** Pairs of rows whose pictures are paths relative to the folder of the file. */
export async function pairsOfRows(
  path: string,
  readRows: (path: string, choose: ChooseColumns) => AsyncIterable<Row>,
  options: SourceOptions,
): Promise<Pairs> {
  const collected = new PairCollector();
  let columns: Columns | undefined;
  const choose = (names: readonly string[]) => (columns ??= chooseColumns(path, names, options));
  for await (const { place, image, caption } of readRows(path, choose)) {
    if (typeof image !== "string" || image === "" || image.includes("\0")) {
      throw new ClipError("CLIP_DATA", `${path}, ${place}: "${columns!.image}" must be the path of a picture`);
    }
    const picture = { image: resolve(dirname(path), image) };
    if (options.picturesOnly) collected.addPicture(picture);
    else collected.add(picture, captionsOf(path, place, caption, columns!, options));
  }
  await assertSomeExist(path, collected.samples.slice(0, probedImages));
  return collected;
}

/**
 * The captions of a row.
 *
 * @throws {ClipError} `CLIP_DATA` if they are no text.
 */
export function captionsOf(
  path: string,
  place: string,
  value: unknown,
  columns: Columns,
  { classTemplates }: SourceOptions,
): string[] {
  const captions = asCaptions(value ?? []);
  if (captions) return classTemplates ? captions.flatMap((label) => fillTemplates(classTemplates, label)) : captions;
  throw new ClipError("CLIP_DATA", `${path}, ${place}: "${columns.caption}" must be a string or a list of strings`);
}

/**
 * The columns of a file by the names that it has.
 *
 * @throws {ClipError} `CLIP_DATA` if one is not there; names those that are.
 */
export function chooseColumns(path: string, names: readonly string[], options: SourceOptions): Columns {
  const find = (setting: "imageColumn" | "captionColumn", defaults: readonly string[]): string => {
    const asked = options[setting];
    const wanted = asked === undefined ? defaults : [asked];
    const found = wanted.find((name) => names.includes(name));
    if (found !== undefined) return found;
    const known = names.slice(0, 50).map((name) => JSON.stringify(name.slice(0, 50)));
    throw new ClipError(
      "CLIP_DATA",
      `${path} has no column ${wanted.map((name) => `"${name}"`).join(" or ")}; ` +
        `it has ${known.join(", ") || "none"}: set ${setting} to one of them`,
    );
  };
  const image = find("imageColumn", ["image", "path", "filepath"]);
  return { image, caption: options.picturesOnly ? undefined : find("captionColumn", ["caption", "title"]) };
}

async function assertSomeExist(path: string, pictures: readonly Picture[]): Promise<void> {
  for (const { image } of pictures) {
    const exists = await access(image).then(
      () => true,
      () => false,
    );
    if (exists) return;
  }
  if (pictures.length === 0) return;
  throw new ClipError(
    "CLIP_DATA",
    `none of the first ${pictures.length} pictures that ${path} names exists, such as ${pictures[0]!.image}; ` +
      "paths in it are relative to its own folder",
  );
}

async function* readSeparated(path: string, delimiter: string, choose: ChooseColumns): AsyncGenerator<Row> {
  // Relaxed: a value that merely begins with a quotation mark ("Stop" sign) is text.
  const parser = parse({
    delimiter,
    info: true,
    skip_empty_lines: true,
    relax_quotes: true,
    max_record_size: maxLineLength,
  });
  let columns: { readonly image: number; readonly caption: number } | undefined;
  try {
    for await (const row of Readable.from(readText(path)).compose(parser)) {
      const { record, info } = row as { record: string[]; info: { lines: number } };
      if (columns) {
        yield { place: `line ${info.lines}`, image: record[columns.image], caption: record[columns.caption] };
      } else {
        const { image, caption } = choose(record);
        columns = { image: record.indexOf(image), caption: caption === undefined ? -1 : record.indexOf(caption) };
      }
    }
  } catch (cause) {
    if (!isCsvError(cause)) throw cause;
    const problem = `${path} is not a table separated by ${JSON.stringify(delimiter)}`;
    throw new ClipError("CLIP_DATA", `${problem}: ${cause.message}`, { cause });
  }
}

function isCsvError(error: unknown): error is CsvError {
  return String((error as { code?: unknown }).code).startsWith("CSV_");
}

async function* readJsonLines(path: string, choose: ChooseColumns): AsyncGenerator<Row> {
  let line = 0;
  for await (const text of readLines(path)) {
    line++;
    if (text.trim() === "") continue;
    const values = parseJsonObject(path, line, text);
    const { image, caption } = choose([...values.keys()]);
    yield {
      place: `line ${line}`,
      image: values.get(image),
      caption: caption === undefined ? undefined : values.get(caption),
    };
  }
}

function parseJsonObject(path: string, line: number, text: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ClipError("CLIP_DATA", `${path}, line ${line} is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ClipError("CLIP_DATA", `${path}, line ${line}: expected an object such as {"image": …, "caption": …}`);
  }
  return new Map(Object.entries(value));
}

async function* readLines(path: string): AsyncGenerator<string> {
  let line = 0;
  let open = "";
  for await (const chunk of readText(path)) {
    const lines = (open + chunk).split("\n");
    open = lines.pop()!;
    for (const text of [...lines, open]) {
      if (text.length <= maxLineLength) continue;
      throw new ClipError(
        "CLIP_DATA",
        `${path}, near line ${line + 1}: a line is longer than ${maxLineLength} characters`,
      );
    }
    line += lines.length;
    yield* lines;
  }
  yield open;
}
