import { extname } from "node:path";
import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { parse as parseAtOnce } from "csv-parse/sync";
import { ClipError } from "../../core/errors.ts";
import { splitLines } from "../../core/text-file.ts";
import type { SkippedImage } from "./image-files.ts";
import { maxLineLength, streamText } from "./text.ts";

/** Column names in a file, by their purpose. */
export type Columns<Key extends string> = Readonly<Record<Key, string>>;

/** Chooses columns from the names in a file. */
export type ChooseColumns<Key extends string> = (names: readonly string[]) => Columns<Key>;

/** Default names of the columns. */
export const imageColumns = ["image", "path", "filepath"];
export const captionColumns = ["caption", "title"];

/** One row of a table or line of a JSONL file. */
export interface Row<Key extends string, Value = unknown> {
  /** For messages: "line 3", the row's last line, counted from 1. */
  readonly place: string;
  readonly values: Readonly<Record<Key, Value>>;
}

export interface BadRow {
  readonly place: string;
  readonly problem: string;
}

/** Usual delimiter by file ending; others are detected. */
const delimiters: Readonly<Record<string, string>> = { ".csv": ",", ".tsv": "\t" };

/** Delimiters that are detected. */
const knownDelimiters = [",", "\t", ";", "|"];

/** Whether a file is CSV or TSV by its name. */
export function isSeparated(path: string): boolean {
  return extname(path).toLowerCase() in delimiters;
}

/** Whether a file is a table by its name: CSV, TSV or JSONL. */
export function isTableName(path: string): boolean {
  return isSeparated(path) || extname(path).toLowerCase() === ".jsonl";
}

/**
 * Reads columns of a table row by row: CSV or TSV with column names in the first line, quoted as in RFC 4180, or JSONL with an object
 * per line. The delimiter may be a comma, tab, semicolon or `|`. Malformed lines are yielded with the reason.
 *
 * @param choose - called once for CSV and TSV, for each line of JSONL.
 * @throws {ClipError} `CLIP_DATA` if the file cannot be read, is no such table or not UTF-8, or has a line above the size limit.
 */
export function readRows<Key extends string>(
  path: string,
  choose: ChooseColumns<Key>,
): AsyncGenerator<Row<Key> | BadRow> {
  const delimiter = delimiters[extname(path).toLowerCase()];
  return delimiter === undefined ? readJsonLines(path, choose) : readSeparated(path, delimiter, choose);
}

/** With this many bad rows, reading stops if they are at least half of all. */
const manyBadRows = 1000;

/** Collects malformed rows; refuses a table if they are half of the rows or more. */
export class BadRows {
  readonly skipped: SkippedImage[] = [];
  readonly #path: string;
  #good = 0;

  constructor(path: string) {
    this.#path = path;
  }

  countGood(): void {
    this.#good++;
  }

  add({ place, problem }: BadRow): void {
    this.skipped.push({ image: `${this.#path}, ${place}`, reason: problem });
    if (this.skipped.length >= manyBadRows) this.assertFew();
  }

  /** @throws {ClipError} `CLIP_DATA` if half of the rows or more are bad. */
  assertFew(): void {
    const [first] = this.skipped;
    const bad = this.skipped.length;
    if (!first || bad < this.#good) return;
    const all = bad + this.#good;
    const others = all === 1 ? "" : `; ${bad} of ${all} rows that were read cannot be used`;
    throw new ClipError("CLIP_DATA", `${first.image}: ${first.reason}${others}`);
  }
}

/**
 * Reads columns of a table as non-empty texts. Rows that lack one are skipped.
 *
 * @param wanted - accepted names of each column.
 * @param wayOut - advice for the message if a column is missing.
 * @throws {ClipError} `CLIP_DATA` as {@link readRows}, if a column is missing, or if half of the rows or more cannot be used.
 */
export async function readTexts<Key extends string>(
  path: string,
  wanted: Readonly<Record<Key, readonly string[]>>,
  wayOut?: Readonly<Partial<Record<Key, string>>>,
): Promise<{ readonly rows: readonly Row<Key, string>[]; readonly skipped: readonly SkippedImage[] }> {
  const keys = Object.keys(wanted) as Key[];
  let columns: Columns<Key> | undefined;
  // The columns of JSONL are those of its first object; values missing in later objects are reported.
  const choose = (names: readonly string[]) =>
    (columns ??= Object.fromEntries<string>(
      keys.map((key) => [key, findColumn(path, wanted[key], names, wayOut?.[key])]),
    ) as Columns<Key>);
  const rows: Row<Key, string>[] = [];
  const bad = new BadRows(path);
  for await (const row of readRows(path, choose)) {
    const problem = "problem" in row ? row.problem : problemOfTexts(row.values, columns!);
    if (problem !== undefined) bad.add({ place: row.place, problem });
    else if ("values" in row) {
      bad.countGood();
      const texts = keys.map((key) => [key, String(row.values[key]).trim()]);
      rows.push({ place: row.place, values: Object.fromEntries(texts) as Record<Key, string> });
    }
  }
  bad.assertFew();
  if (columns) return { rows, skipped: bad.skipped };
  const names = keys.map((key) => wanted[key][0]).join(", ");
  throw new ClipError("CLIP_DATA", `${path} is empty; it must have the columns ${names}`);
}

/** The problem with values that should be texts; numbers count as texts. */
function problemOfTexts<Key extends string>(
  values: Readonly<Record<Key, unknown>>,
  columns: Columns<Key>,
): string | undefined {
  for (const key of Object.keys(columns) as Key[]) {
    const value = values[key] ?? "";
    if (typeof value !== "string" && typeof value !== "number") return `"${columns[key]}" must be a text`;
    if (String(value).trim() === "") return `"${columns[key]}" is empty`;
  }
  return undefined;
}

/**
 * The first of some names that a table has.
 *
 * @throws {ClipError} `CLIP_DATA` if it has none of them, with the names it has.
 */
export function findColumn(path: string, wanted: readonly string[], names: readonly string[], wayOut = ""): string {
  const found = wanted.find((name) => names.includes(name));
  if (found !== undefined && names.indexOf(found) === names.lastIndexOf(found)) return found;
  if (found !== undefined)
    throw new ClipError("CLIP_DATA", `${path} has the column "${found}" twice; rename one of them`);
  const known = names.slice(0, 50).map((name) => JSON.stringify(name.slice(0, 50)));
  const isOne = isSeparated(path) && names.length === 1;
  throw new ClipError(
    "CLIP_DATA",
    `${path} has no column ${wanted.map((name) => `"${name}"`).join(" or ")}; it has ${known.join(", ") || "none"}` +
      (isOne ? `; is that one column? values are separated by commas, tabs, semicolons or |${wayOut}` : wayOut),
  );
}

/** Advice for a column with another name. */
export const settingOf = (what: "image" | "caption" | "synthetic") =>
  `; set ${what}Column (--${what}-column) to one of them`;

async function* readSeparated<Key extends string>(
  path: string,
  usual: string,
  choose: ChooseColumns<Key>,
): AsyncGenerator<Row<Key> | BadRow> {
  const { head, rest } = await readHead(streamText(path));
  // Excel's first line may declare the delimiter.
  const said = /^sep=(.)$/i.exec(firstLine(head))?.[1];
  const delimiter = said ?? findDelimiter(firstLine(head), usual, choose);
  // Relaxed: a value may start with a quoted word ("Stop" sign), and a row may lack its last values.
  const parser = parse({
    delimiter,
    // Concatenated files have both LF and CRLF; a lone CR in their rows is no line end.
    record_delimiter: /^[\r\n]*[^\r\n]+\r[^\n]/.test(head) ? "\r" : ["\r\n", "\n"],
    info: true,
    skip_empty_lines: true,
    relax_quotes: true,
    relax_column_count: true,
    max_record_size: maxLineLength,
    ...(said !== undefined && { from_line: 2 }),
  });
  async function* text() {
    yield head;
    yield* rest;
  }
  let header:
    { readonly count: number; readonly places: readonly (readonly [key: string, place: number])[] } | undefined;
  try {
    for await (const row of Readable.from(text()).compose(parser)) {
      const { record, info } = row as { record: string[]; info: { lines: number } };
      const place = `line ${info.lines}`;
      if (!header) {
        const names = record.map((name) => name.trim());
        const places = Object.entries<string>(choose(names)).map(([key, name]) => [key, names.indexOf(name)] as const);
        header = { count: record.length, places };
      } else if (record.slice(header.count).some((value) => value.trim() !== ""))
        yield { place, problem: tooManyValues(record.length, header.count, delimiter) };
      else if (swallowsRow(record, header.places, delimiter)) yield { place, problem: openQuote };
      else {
        const values = Object.fromEntries(header.places.map(([key, at]) => [key, record[at]]));
        yield { place, values: values as Record<Key, unknown> };
      }
    }
  } catch (cause) {
    if (!isCsvError(cause)) throw cause;
    const problem = `${path} is not a table separated by ${JSON.stringify(delimiter)}`;
    throw new ClipError("CLIP_DATA", `${problem}: ${cause.message}`, { cause });
  }
}

const tooManyValues = (count: number, columns: number, delimiter: string) =>
  `it has ${count} values for ${columns} columns; put a value that contains ${JSON.stringify(delimiter)} into quotation marks`;

const openQuote =
  "a quotation mark that is never closed joins several rows to one; a value that begins with one stands in quotation marks, its own doubled";

/** Whether a value spans lines and one of them is itself a row, with a file name where this row has one. */
function swallowsRow(
  record: readonly string[],
  places: readonly (readonly [key: string, place: number])[],
  delimiter: string,
): boolean {
  const files = places.map(([, at]) => [at, extname(record[at] ?? "").trim()] as const).filter(([, ending]) => ending);
  return record.some(
    (value) =>
      /[\r\n]/.test(value) &&
      splitLines(value).some((line) => {
        const values = line.split(delimiter);
        return values.length > 1 && files.some(([at, ending]) => extname(values[at] ?? "").trim() === ending);
      }),
  );
}

/** A text up to the end of its first non-empty line, and the rest. */
async function readHead(text: AsyncGenerator<string>): Promise<{ head: string; rest: AsyncGenerator<string> }> {
  let head = "";
  while (head.length <= maxLineLength && !/[^\r\n][\r\n]/.test(head)) {
    const next = await text.next();
    if (next.done) break;
    head += next.value;
  }
  return { head, rest: text };
}

const firstLine = (text: string) => splitLines(text.replace(/^[\r\n]+/, ""))[0]!;

/** The usual delimiter if it yields the columns, otherwise one that does, otherwise the one with the most columns. */
function findDelimiter(names: string, usual: string, choose: ChooseColumns<string>): string {
  const split = [usual, ...knownDelimiters.filter((other) => other !== usual)].map((delimiter) => {
    try {
      const [record = []]: string[][] = parseAtOnce(names, { delimiter, relax_quotes: true, to: 1 });
      return { delimiter, record: record.map((name) => name.trim()) };
    } catch {
      // A quoted name that spans lines.
      return { delimiter, record: [] };
    }
  });
  const isTable = ({ record }: { readonly record: readonly string[] }) => {
    try {
      choose(record);
      return true;
    } catch {
      return false;
    }
  };
  const most = split.reduce((best, each) => (each.record.length > best.record.length ? each : best));
  return (split.find(isTable) ?? most).delimiter;
}

function isCsvError(error: unknown): error is CsvError {
  return String((error as { code?: unknown }).code).startsWith("CSV_");
}

async function* readJsonLines<Key extends string>(
  path: string,
  choose: ChooseColumns<Key>,
): AsyncGenerator<Row<Key> | BadRow> {
  let line = 0;
  for await (const text of readLines(path)) {
    line++;
    if (text.trim() === "") continue;
    const object = parseJsonObject(text);
    if (typeof object === "string") yield { place: `line ${line}`, problem: object };
    else {
      const columns = Object.entries<string>(choose([...object.keys()]));
      const values = Object.fromEntries(columns.map(([key, name]) => [key, object.get(name)]));
      yield { place: `line ${line}`, values: values as Record<Key, unknown> };
    }
  }
}

/** The object in a line, or the reason why it has none. */
function parseJsonObject(text: string): ReadonlyMap<string, unknown> | string {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    return `it is not JSON: ${(cause as Error).message}; each line is an object of its own, as jq -c '.[]' makes them of a list`;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return 'expected an object such as {"image": …, "caption": …}';
  return new Map(Object.entries(value));
}

/** Parses JSON as Python writes it: NaN and Infinity are read as null. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const known = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
      found.startsWith('"') ? found : "null",
    );
    if (known === text) throw cause;
    return JSON.parse(known);
  }
}

async function* readLines(path: string): AsyncGenerator<string> {
  let line = 0;
  let open = "";
  for await (const chunk of streamText(path)) {
    const text = open + chunk;
    // A trailing CR may be half of a CRLF.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = splitLines(text.slice(0, end));
    open = lines.pop()! + text.slice(end);
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
  yield* splitLines(open);
}
