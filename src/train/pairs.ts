import { createReadStream } from "node:fs";
import { access, readdir, readFile, stat } from "node:fs/promises";
import { dirname, extname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { ClipError } from "../core/errors.ts";
import { imageExtensions } from "../image/extensions.ts";

/** A picture and what may be said of it. */
export interface Sample {
  /** Absolute path of the picture. */
  readonly image: string;
  /** At least one, none empty; one is drawn whenever the sample is. */
  readonly captions: readonly string[];
}

/** A picture that cannot be used, and why. */
export interface SkippedImage {
  /** Absolute path. */
  readonly image: string;
  readonly reason: string;
}

/** What a source of training pairs holds. */
export interface Pairs {
  readonly samples: readonly Sample[];
  /** Pictures without a usable caption. Whether a picture itself can be read shows when it is decoded. */
  readonly skipped: readonly SkippedImage[];
}

/** Names of the columns of a table, or of the keys of a JSONL file. */
export interface PairColumns {
  /** Default: the first of `image`, `path`, `filepath` that exists. */
  readonly imageColumn?: string | undefined;
  /** Default: the first of `caption`, `title` that exists. */
  readonly captionColumn?: string | undefined;
}

/** One row of a table or line of a JSONL file: values by column, and the line it ends in, counted from 1. */
interface Row {
  readonly line: number;
  readonly values: ReadonlyMap<string, unknown>;
}

/** In characters. Far beyond what a text tower reads: longer ones are whole pages in the wrong column. */
const maxCaptionLength = 10_000;
/** In characters; a file without line breaks is refused before it fills the memory. */
const maxLineLength = 1 << 20;
/** Caption files read at once. */
const openFiles = 64;
/** If not one of so many pictures exists, the paths are wrong rather than the pictures. */
const probedImages = 16;

const rowReaders: Readonly<Record<string, (path: string) => AsyncIterable<Row>>> = {
  ".csv": (path) => readTable(path, ","),
  ".tsv": (path) => readTable(path, "\t"),
  ".jsonl": readJsonLines,
};

/**
 * Reads image-text pairs, in the order of the source:
 *
 * - a folder with the folders in it: `a.jpg` beside `a.txt`, whose lines are captions; ordered by path;
 * - `.csv` or `.tsv` with column names in the first line, quoted as in RFC 4180;
 * - `.jsonl`, one object a line; there a caption is a string or a list of strings.
 *
 * Text is UTF-8. Paths in a file are relative to its folder.
 *
 * @throws {ClipError} `CLIP_DATA` if there is no such source or nothing usable in it, a column is missing, a line is
 *   malformed, or none of the first pictures that a file names exists.
 */
export async function readPairs(source: string, columns: PairColumns = {}): Promise<Pairs> {
  const path = resolve(source);
  const entry = await stat(path).catch((cause: unknown) => {
    throw dataError(`${path} cannot be opened; name a folder, or a .csv, .tsv or .jsonl file`, cause);
  });
  const pairs = entry.isDirectory() ? await readFolderPairs(path) : await readFilePairs(path, columns);
  if (pairs.samples.length > 0) return pairs;
  const [first] = pairs.skipped;
  const wanted = entry.isDirectory() ? "pictures with captions beside them (a.jpg and a.txt)" : "rows below the names";
  const met = first ? `all ${pairs.skipped.length} were skipped (${first.image}: ${first.reason})` : "there are none";
  throw new ClipError("CLIP_DATA", `${path} holds no training pairs: expected ${wanted}, but ${met}`);
}

async function readFolderPairs(folder: string): Promise<Pairs> {
  const entries = await readdir(folder, { recursive: true });
  const images = entries.filter((entry) => imageExtensions.has(extname(entry).toLowerCase())).sort();
  const collected = new PairCollector();
  for (let start = 0; start < images.length; start += openFiles) {
    const paths = images.slice(start, start + openFiles).map((image) => join(folder, image));
    const captions = await Promise.all(paths.map(readCaptionFile));
    paths.forEach((image, i) => collected.add(image, captions[i]!));
  }
  return collected;
}

/** The captions of the `.txt` beside a picture, or why there are none. */
async function readCaptionFile(image: string): Promise<string[] | string> {
  const path = `${image.slice(0, -extname(image).length)}.txt`;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
    return text.split(/\r\n|\r|\n/);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "there is no .txt with its captions";
    return code === "ERR_ENCODING_INVALID_ENCODED_DATA" ? `${path} is not UTF-8` : message;
  }
}

async function readFilePairs(path: string, columns: PairColumns): Promise<Pairs> {
  const readRows = rowReaders[extname(path).toLowerCase()];
  if (!readRows) throw new ClipError("CLIP_DATA", `${path}: expected a folder, or a .csv, .tsv or .jsonl file`);
  const collected = new PairCollector();
  let imageColumn: string | undefined;
  let captionColumn: string | undefined;
  for await (const { line, values } of readRows(path)) {
    imageColumn ??= findColumn(path, values, "imageColumn", columns.imageColumn, ["image", "path", "filepath"]);
    captionColumn ??= findColumn(path, values, "captionColumn", columns.captionColumn, ["caption", "title"]);
    const image = values.get(imageColumn);
    if (typeof image !== "string" || image === "" || image.includes("\0")) {
      throw new ClipError("CLIP_DATA", `${path}, line ${line}: "${imageColumn}" must be the path of a picture`);
    }
    const captions = asCaptions(values.get(captionColumn) ?? []);
    if (!captions) {
      throw new ClipError(
        "CLIP_DATA",
        `${path}, line ${line}: "${captionColumn}" must be a string or a list of strings`,
      );
    }
    collected.add(resolve(dirname(path), image), captions);
  }
  await assertSomeExist(path, collected.samples.slice(0, probedImages));
  return collected;
}

function findColumn(
  path: string,
  values: ReadonlyMap<string, unknown>,
  setting: keyof PairColumns,
  asked: string | undefined,
  defaults: readonly string[],
): string {
  const wanted = asked === undefined ? defaults : [asked];
  const found = wanted.find((name) => values.has(name));
  if (found !== undefined) return found;
  const names = [...values.keys()].slice(0, 50).map((name) => JSON.stringify(name.slice(0, 50)));
  throw new ClipError(
    "CLIP_DATA",
    `${path} has no column ${wanted.map((name) => `"${name}"`).join(" or ")}; ` +
      `it has ${names.join(", ") || "none"}: set ${setting} to one of them`,
  );
}

function asCaptions(value: unknown): string[] | undefined {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.every((caption) => typeof caption === "string") ? list : undefined;
}

async function assertSomeExist(path: string, samples: readonly Sample[]): Promise<void> {
  for (const { image } of samples) {
    const exists = await access(image).then(
      () => true,
      () => false,
    );
    if (exists) return;
  }
  if (samples.length === 0) return;
  throw new ClipError(
    "CLIP_DATA",
    `none of the first ${samples.length} pictures that ${path} names exists, such as ${samples[0]!.image}; ` +
      "paths in it are relative to its own folder",
  );
}

/** Sorts what was read into samples and skipped pictures. */
class PairCollector implements Pairs {
  readonly samples: Sample[] = [];
  readonly skipped: SkippedImage[] = [];

  /** @param found - the captions, or the reason why there are none. */
  add(image: string, found: readonly string[] | string): void {
    if (typeof found === "string") return this.#skip(image, found);
    const captions = found.map((caption) => caption.trim()).filter((caption) => caption !== "");
    if (captions.length === 0) this.#skip(image, "its caption is empty");
    else if (captions.some(({ length }) => length > maxCaptionLength)) {
      this.#skip(image, `its caption is longer than ${maxCaptionLength} characters`);
    } else this.samples.push({ image, captions });
  }

  #skip(image: string, reason: string): void {
    this.skipped.push({ image, reason });
  }
}

async function* readTable(path: string, delimiter: string): AsyncGenerator<Row> {
  // Relaxed: a value that merely begins with a quotation mark ("Stop" sign) is text.
  const parser = parse({
    delimiter,
    info: true,
    skip_empty_lines: true,
    relax_quotes: true,
    max_record_size: maxLineLength,
  });
  let names: readonly string[] | undefined;
  try {
    for await (const row of Readable.from(readText(path)).compose(parser)) {
      const { record, info } = row as { record: string[]; info: { lines: number } };
      if (names) yield { line: info.lines, values: new Map(names.map((name, i) => [name, record[i]!])) };
      else names = record;
    }
  } catch (cause) {
    if (!isCsvError(cause)) throw cause;
    throw dataError(`${path} is not a table separated by ${JSON.stringify(delimiter)}`, cause);
  }
}

function isCsvError(error: unknown): error is CsvError {
  return String((error as { code?: unknown }).code).startsWith("CSV_");
}

async function* readJsonLines(path: string): AsyncGenerator<Row> {
  let line = 0;
  for await (const text of readLines(path)) {
    line++;
    if (text.trim() !== "") yield { line, values: parseJsonObject(path, line, text) };
  }
}

function parseJsonObject(path: string, line: number, text: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw dataError(`${path}, line ${line} is not JSON`, cause);
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

/** The text of a file in pieces, without its byte order mark. */
async function* readText(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const bytes of createReadStream(path)) yield decoder.decode(bytes as Buffer, { stream: true });
    yield decoder.decode();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ERR_ENCODING_INVALID_ENCODED_DATA") throw dataError(`${path} cannot be read`, cause);
    throw new ClipError("CLIP_DATA", `${path} is not UTF-8; save it so, for example with iconv -t UTF-8`, { cause });
  }
}

function dataError(problem: string, cause: unknown): ClipError {
  return new ClipError("CLIP_DATA", `${problem}: ${(cause as Error).message}`, { cause });
}
