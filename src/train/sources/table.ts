import { dirname, resolve } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { assertSomeExist } from "../../data/picture.ts";
import { captionColumns, findColumn, imageColumns, readRows, settingOf } from "../../data/table.ts";
import {
  asCaptions,
  fillTemplates,
  PairCollector,
  type Pairs,
  type SourceOptions,
  syntheticColumns,
} from "./samples.ts";

/** One row of a table or line of a JSONL file. */
export interface Row {
  /** Where it stands, for messages: "line 3", the line in which it ends, counted from 1. */
  readonly place: string;
  readonly image: unknown;
  /** Where it is read. */
  readonly caption?: unknown;
  /** Where it is read. */
  readonly synthetic?: unknown;
}

/** Names of the columns that are read. */
export interface Columns {
  readonly image: string;
  /** Where captions are read. */
  readonly caption?: string;
  readonly synthetic?: string;
}

/** Finds them among the names that there are. */
type ChooseColumns = (names: readonly string[]) => Columns;

/** Pairs of a CSV, TSV or JSONL file; paths in it are relative to its folder. */
export async function readTable(path: string, options: SourceOptions): Promise<Pairs> {
  return pairsOfRows(path, readPairRows, options);
}

async function* readPairRows(path: string, choose: ChooseColumns): AsyncGenerator<Row> {
  for await (const { place, values } of readRows<"image">(path, choose)) yield { place, ...values };
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
  for await (const { place, image, caption, synthetic } of readRows(path, choose)) {
    if (typeof image !== "string" || image === "" || image.includes("\0")) {
      throw new ClipError("CLIP_DATA", `${path}, ${place}: "${columns!.image}" must be the path of a picture`);
    }
    const picture = { image: resolve(dirname(path), image) };
    if (options.picturesOnly) collected.addPicture(picture);
    else {
      const captions = captionsOf(path, place, caption, columns!, options);
      collected.add(picture, captions, textsOf(path, place, synthetic, columns!.synthetic));
    }
  }
  await assertSomeExist(path, collected.samples);
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
  const captions = textsOf(path, place, value, columns.caption);
  return classTemplates ? captions.flatMap((label) => fillTemplates(classTemplates, label)) : captions;
}

/**
 * The texts in a column of a row.
 *
 * @throws {ClipError} `CLIP_DATA` if they are no text.
 */
export function textsOf(path: string, place: string, value: unknown, column: string | undefined): string[] {
  const texts = asCaptions(value ?? []);
  if (texts) return texts;
  throw new ClipError("CLIP_DATA", `${path}, ${place}: "${column}" must be a string or a list of strings`);
}

/**
 * The columns of a file by the names that it has.
 *
 * @throws {ClipError} `CLIP_DATA` if one is not there; names those that are.
 */
export function chooseColumns(path: string, names: readonly string[], options: SourceOptions): Columns {
  const find = (what: "image" | "caption" | "synthetic", defaults: readonly string[]): string => {
    const asked = options[`${what}Column`];
    return findColumn(path, asked === undefined ? defaults : [asked], names, settingOf(what));
  };
  const image = find("image", imageColumns);
  return {
    image,
    ...(!options.picturesOnly && { caption: find("caption", captionColumns) }),
    ...(options.synthetic && { synthetic: find("synthetic", syntheticColumns(options)) }),
  };
}
