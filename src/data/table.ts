import { extname } from "node:path";
import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { ClipError } from "../core/errors.ts";
import { maxLineLength, readText } from "./text.ts";

/** What columns are read for, and their names in the file. */
export type Columns<Key extends string> = Readonly<Record<Key, string>>;

/** Finds columns among the names that there are. */
export type ChooseColumns<Key extends string> = (names: readonly string[]) => Columns<Key>;

/** Names under which the pictures of a table are looked for, and what is said of them. */
export const imageColumns = ["image", "path", "filepath"];
export const captionColumns = ["caption", "title"];

/** One row of a table or line of a JSONL file. */
export interface Row<Key extends string, Value = unknown> {
  /** Where it stands, for messages: "line 3", the line in which it ends, counted from 1. */
  readonly place: string;
  readonly values: Readonly<Record<Key, Value>>;
}

/** What stands between the values of a line, by the end of the file's name. */
const delimiters: Readonly<Record<string, string>> = { ".csv": ",", ".tsv": "\t" };

/** Whether a file's name says that it is CSV or TSV. */
export function isSeparated(path: string): boolean {
  return extname(path).toLowerCase() in delimiters;
}

/** Whether a file is a table by its name: CSV, TSV or JSONL. */
export function isTableName(path: string): boolean {
  return isSeparated(path) || extname(path).toLowerCase() === ".jsonl";
}

/**
 * Reads columns of a table, a row at a time: CSV or TSV with the names of the columns in its first line, quoted as in RFC 4180, or
 * JSONL, an object a line.
 *
 * @param choose - is asked for the columns: of CSV and TSV once, of JSONL in each line.
 * @throws {ClipError} `CLIP_DATA` if it cannot be read, is no such table or not UTF-8, or a line is longer than any should be.
 */
export function readRows<Key extends string>(path: string, choose: ChooseColumns<Key>): AsyncGenerator<Row<Key>> {
  const delimiter = delimiters[extname(path).toLowerCase()];
  return delimiter === undefined ? readJsonLines(path, choose) : readSeparated(path, delimiter, choose);
}

/**
 * Reads columns of a table, as texts of which none is empty.
 *
 * @param wanted - the names that a column may have, by what it is read for.
 * @param wayOut - of a table without one of them, for the message.
 * @throws {ClipError} `CLIP_DATA` as {@link readRows}, and if a column is missing or a value no text.
 */
export async function readTexts<Key extends string>(
  path: string,
  wanted: Readonly<Record<Key, readonly string[]>>,
  wayOut?: Readonly<Partial<Record<Key, string>>>,
): Promise<Row<Key, string>[]> {
  const keys = Object.keys(wanted) as Key[];
  let columns: Columns<Key> | undefined;
  // In JSONL an object may lack what others have; its value is then missed.
  const choose = (names: readonly string[]) =>
    (columns ??= Object.fromEntries<string>(
      keys.map((key) => [key, findColumn(path, wanted[key], names, wayOut?.[key])]),
    ) as Columns<Key>);
  const rows: Row<Key, string>[] = [];
  for await (const { place, values } of readRows(path, choose)) {
    const texts = keys.map((key) => [key, asText(values[key], `${path}, ${place}: "${columns![key]}"`)]);
    rows.push({ place, values: Object.fromEntries(texts) as Record<Key, string> });
  }
  if (columns) return rows;
  const names = keys.map((key) => wanted[key][0]).join(", ");
  throw new ClipError("CLIP_DATA", `${path} is empty; it must have the columns ${names}`);
}

/**
 * The first of some names that a table has.
 *
 * @throws {ClipError} `CLIP_DATA` if it has none of them; names those that it has.
 */
export function findColumn(path: string, wanted: readonly string[], names: readonly string[], wayOut = ""): string {
  const found = wanted.find((name) => names.includes(name));
  if (found !== undefined) return found;
  const known = names.slice(0, 50).map((name) => JSON.stringify(name.slice(0, 50)));
  const bySemicolons = isSeparated(path) && names.length === 1 && names[0]!.includes(";");
  throw new ClipError(
    "CLIP_DATA",
    `${path} has no column ${wanted.map((name) => `"${name}"`).join(" or ")}; it has ${known.join(", ") || "none"}` +
      (bySemicolons ? "; columns are separated by ;: save it with commas, or as .tsv" : wayOut),
  );
}

/** The way out where a column has another name, in a program and on the command line. */
export const settingOf = (what: "image" | "caption" | "synthetic") =>
  `; set ${what}Column (--${what}-column) to one of them`;

/** Numbers, as JSON has them, are texts too. */
function asText(value: unknown, place: string): string {
  const text = typeof value === "number" ? String(value) : (value ?? "");
  if (typeof text !== "string") throw new ClipError("CLIP_DATA", `${place} must be a text`);
  if (text.trim() === "") throw new ClipError("CLIP_DATA", `${place} is empty`);
  return text.trim();
}

async function* readSeparated<Key extends string>(
  path: string,
  delimiter: string,
  choose: ChooseColumns<Key>,
): AsyncGenerator<Row<Key>> {
  // Relaxed: a value that merely begins with a quotation mark ("Stop" sign) is text.
  const parser = parse({
    delimiter,
    info: true,
    skip_empty_lines: true,
    relax_quotes: true,
    max_record_size: maxLineLength,
  });
  let places: readonly (readonly [key: string, place: number])[] | undefined;
  try {
    for await (const row of Readable.from(readText(path)).compose(parser)) {
      const { record, info } = row as { record: string[]; info: { lines: number } };
      if (places) {
        const values = Object.fromEntries(places.map(([key, place]) => [key, record[place]]));
        yield { place: `line ${info.lines}`, values: values as Record<Key, unknown> };
      } else places = Object.entries<string>(choose(record)).map(([key, name]) => [key, record.indexOf(name)]);
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

async function* readJsonLines<Key extends string>(path: string, choose: ChooseColumns<Key>): AsyncGenerator<Row<Key>> {
  let line = 0;
  for await (const text of readLines(path)) {
    line++;
    if (text.trim() === "") continue;
    const object = parseJsonObject(path, line, text);
    const columns = Object.entries<string>(choose([...object.keys()]));
    const values = Object.fromEntries(columns.map(([key, name]) => [key, object.get(name)]));
    yield { place: `line ${line}`, values: values as Record<Key, unknown> };
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
