import { extname } from "node:path";
import { parse } from "csv-parse/sync";
import { ClipError } from "../core/errors.ts";
import { readText } from "../core/files.ts";
import { maxTableBytes } from "../core/limits.ts";

/** The value of each column that was asked for, and the line that the row ends in, counted from 1. */
export type TableRow<Column extends string> = Readonly<Record<Column, string>> & { readonly line: number };

/** What stands between the values of a line, by the end of the file's name. */
const delimiters: Readonly<Record<string, string>> = { ".csv": ",", ".tsv": "\t" };

/** Whether a file's name says that it is a table. */
export function isTable(path: string): boolean {
  return extname(path).toLowerCase() in delimiters;
}

/**
 * Reads columns of a CSV or TSV file by the names in its first line; values are quoted as in RFC 4180, and none is empty.
 *
 * @throws {ClipError} `CLIP_DATA` if it is no such table or not UTF-8, lacks a column, or a value is empty; `CLIP_FILE` if it cannot be
 *   read.
 */
export async function readTable<Column extends string>(
  path: string,
  columns: readonly Column[],
): Promise<TableRow<Column>[]> {
  const text = await readText(path, maxTableBytes);
  if (text.includes("\ufffd"))
    throw new ClipError("CLIP_DATA", `${path} is not UTF-8; save it so, for example with iconv -t UTF-8`);
  const [head, ...rows] = parseTable(path, text);
  if (!head)
    throw new ClipError("CLIP_DATA", `${path} is empty; its first line must name columns: ${columns.join(", ")}`);
  const places = columns.map((column) => {
    const place = head.record.indexOf(column);
    if (place < 0)
      throw new ClipError("CLIP_DATA", `${path} has no column "${column}"; it has ${head.record.join(", ")}`);
    return place;
  });
  return rows.map(({ record, info: { lines: line } }) => {
    const values = columns.map((column, i) => {
      const value = record[places[i]!]!.trim();
      if (value === "") throw new ClipError("CLIP_DATA", `${path}, line ${line}: "${column}" is empty`);
      return [column, value] as const;
    });
    return { ...(Object.fromEntries(values) as Record<Column, string>), line };
  });
}

interface ParsedRow {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

function parseTable(path: string, text: string): ParsedRow[] {
  const delimiter = delimiters[extname(path).toLowerCase()]!;
  try {
    // Relaxed: a value that merely begins with a quotation mark ("Stop" sign) is text.
    return parse(text, { delimiter, info: true, skip_empty_lines: true, relax_quotes: true }) as unknown as ParsedRow[];
  } catch (cause) {
    const { message } = cause as Error;
    throw new ClipError("CLIP_DATA", `${path} is no table separated by ${JSON.stringify(delimiter)}: ${message}`, {
      cause,
    });
  }
}
