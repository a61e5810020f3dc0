import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, type OptionKinds, text } from "../../core/options.ts";
import type { SkippedImage } from "./image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "./image-location.ts";
import { captionColumns, imageColumns, readTexts, settingOf } from "./table.ts";

/** An image and its captions. */
export interface CaptionedImage extends ImageLocation {
  /** At least one, none empty. */
  readonly captions: readonly string[];
}

/** Columns and separators of a table of captions. */
export interface CaptionColumns {
  /** Default: the first of `image`, `path`, `filepath` that exists. */
  readonly imageColumn?: string | undefined;
  /** Default: the first of `caption`, `title` that exists. */
  readonly captionColumn?: string | undefined;
  /** Separates the captions of a row; by default a row has one. */
  readonly separator?: string | undefined;
  /** The folder that paths are relative to, and that all images must be in. Default: the table's folder. */
  readonly images?: string | undefined;
}

const captionKinds: OptionKinds<CaptionColumns> = {
  ...{ imageColumn: text, captionColumn: text, separator: text, images: text },
};

/**
 * Reads images with their captions from a `.csv` or `.tsv`; an image may have several rows.
 *
 * @throws {ClipError} `CLIP_DATA` as {@link readTexts} and {@link assertSomeExist}, and if there is no row.
 */
export async function readCaptionTable(
  path: string,
  options: CaptionColumns = {},
): Promise<{ readonly samples: readonly CaptionedImage[]; readonly skipped: readonly SkippedImage[] }> {
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
      throw new ClipError("CLIP_DATA", `${path}, ${place}: the caption has nothing between its separators`);
    const captioned = locations.get(image.image) ?? { ...image, captions: [] };
    locations.set(image.image, captioned);
    captioned.captions.push(...known);
  }
  if (locations.size === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  const samples = [...locations.values()];
  await assertSomeExist(path, samples, baseOf(images));
  return { samples, skipped };
}
