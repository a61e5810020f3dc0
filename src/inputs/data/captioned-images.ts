import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, type OptionKinds, text } from "../../core/options.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "./image-location.ts";
import type { Pairs } from "./sources/samples.ts";
import { captionColumns, imageColumns, readTexts, settingOf } from "./table.ts";

/** The columns of a table of captions. */
export interface CaptionColumns {
  /** Default: the first of `image`, `path`, `filepath` that exists. */
  readonly imageColumn?: string | undefined;
  /** Default: the first of `caption`, `title` that exists. */
  readonly captionColumn?: string | undefined;
  /** Separator of several captions in a row. Default: one caption per row. */
  readonly separator?: string | undefined;
  /** Folder that holds the images; paths are relative to it. Default: the table's folder. */
  readonly images?: string | undefined;
}

const captionKinds: OptionKinds<CaptionColumns> = {
  imageColumn: text,
  captionColumn: text,
  separator: text,
  images: text,
};

/**
 * Reads images with their captions from a `.csv`, `.tsv` or `.jsonl`; an image has the captions of all its rows.
 *
 * @throws {ClipError} `CLIP_DATA` as `readTexts` and `assertSomeExist`, and if there is no row.
 */
export async function readCaptionTable(path: string, options: CaptionColumns = {}): Promise<Pairs> {
  checkKind("readCaptionTable: the path", path, text);
  checkOptions("readCaptionTable", options, captionKinds);
  const { imageColumn, captionColumn, separator, images } = options;
  const locations = new Map<string, ImageLocation & { readonly captions: string[] }>();
  const { rows, skipped } = await readTexts(
    path,
    {
      image: imageColumn === undefined ? imageColumns : [imageColumn],
      caption: captionColumn === undefined ? captionColumns : [captionColumn],
    },
    { image: settingOf("image"), caption: settingOf("caption") },
  );
  for (const { place, values } of rows) {
    const image = imageOfTable(path, place, values.image, images);
    const captions = separator === undefined ? [values.caption] : values.caption.split(separator);
    const known = captions.map((caption) => caption.trim()).filter((caption) => caption !== "");
    if (known.length === 0)
      throw new ClipError("CLIP_DATA", `${path}, ${place}: the caption is empty between its separators`);
    const sample = locations.get(image.image) ?? { ...image, captions: [] };
    locations.set(image.image, sample);
    sample.captions.push(...known);
  }
  if (locations.size === 0) throw new ClipError("CLIP_DATA", `${path} has no rows after its column names`);
  const samples = [...locations.values()];
  await assertSomeExist(path, samples, baseOf(images));
  return { samples, skipped };
}
