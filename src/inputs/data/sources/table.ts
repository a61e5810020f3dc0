import { assertSomeExist, baseOf, imageOfTable } from "../image-location.ts";
import { type BadRow, BadRows, captionColumns, findColumn, imageColumns, readRows, settingOf } from "../table.ts";
import {
  asCaptions,
  fillTemplates,
  PairCollector,
  type Pairs,
  type SourceOptions,
  syntheticColumns,
} from "./samples.ts";

/** One row of a table or line of a JSONL file. */
export interface PairRow {
  /** For messages: "line 3", the row's last line, counted from 1. */
  readonly place: string;
  readonly image: unknown;
  readonly caption?: unknown;
  readonly synthetic?: unknown;
}

/** Names of the columns that are read. */
export interface PairColumns {
  readonly image: string;
  readonly caption?: string;
  readonly synthetic?: string;
}

type ChoosePairColumns = (names: readonly string[]) => PairColumns;

/** Pairs of a CSV, TSV or JSONL file; paths in it are relative to its folder. */
export async function readTable(path: string, options: SourceOptions): Promise<Pairs> {
  return pairsOfRows(path, readPairRows, options);
}

async function* readPairRows(path: string, choose: ChoosePairColumns): AsyncGenerator<PairRow | BadRow> {
  for await (const row of readRows<"image">(path, choose))
    yield "problem" in row ? row : { place: row.place, ...row.values };
}

/** Pairs of rows whose images are paths relative to the folder of the file. */
export async function pairsOfRows(
  path: string,
  readRows: (path: string, choose: ChoosePairColumns) => AsyncIterable<PairRow | BadRow>,
  options: SourceOptions,
): Promise<Pairs> {
  const collected = new PairCollector();
  let columns: PairColumns | undefined;
  const choose = (names: readonly string[]) => (columns ??= chooseColumns(path, names, options));
  const bad = new BadRows(path);
  for await (const row of readRows(path, choose)) {
    if ("problem" in row) {
      bad.add(row);
      continue;
    }
    const { place, image } = row;
    const captions = options.imagesOnly ? [] : captionsOf(row.caption, columns!, options);
    const synthetic = options.imagesOnly ? [] : textsOf(row.synthetic, columns!.synthetic);
    if (typeof image !== "string" || image.trim() === "" || image.includes("\0"))
      bad.add({ place, problem: `"${columns!.image}" must be the path of an image` });
    else if (typeof captions === "string") bad.add({ place, problem: captions });
    else if (typeof synthetic === "string") bad.add({ place, problem: synthetic });
    else {
      bad.countGood();
      const location = imageOfTable(path, place, image.trim(), options.images);
      if (options.imagesOnly) collected.addImage(location);
      else collected.add(location, captions, synthetic);
    }
  }
  bad.assertFew();
  for (const { image, reason } of bad.skipped) collected.skip(image, reason);
  await assertSomeExist(path, collected.samples, baseOf(options.images));
  return collected;
}

/** The captions of a row, or the reason why it has none. */
export function captionsOf(
  value: unknown,
  columns: PairColumns,
  { classTemplates }: SourceOptions,
): readonly string[] | string {
  const captions = textsOf(value, columns.caption);
  return classTemplates && typeof captions !== "string"
    ? captions.flatMap((label) => fillTemplates(classTemplates, label))
    : captions;
}

/** The texts in a column of a row, or the reason why they are invalid. */
export function textsOf(value: unknown, column: string | undefined): readonly string[] | string {
  return asCaptions(value ?? []) ?? `"${column}" must be a string or a list of strings`;
}

/**
 * The columns to read, from the names in a file.
 *
 * @throws {ClipError} `CLIP_DATA` if one is missing, with the names that exist.
 */
export function chooseColumns(path: string, names: readonly string[], options: SourceOptions): PairColumns {
  const find = (what: "image" | "caption" | "synthetic", defaults: readonly string[]): string => {
    const asked = options[`${what}Column`];
    return findColumn(path, asked === undefined ? defaults : [asked], names, settingOf(what));
  };
  const image = find("image", imageColumns);
  return {
    image,
    ...(!options.imagesOnly && { caption: find("caption", captionColumns) }),
    ...(options.synthetic && { synthetic: find("synthetic", syntheticColumns(options)) }),
  };
}
