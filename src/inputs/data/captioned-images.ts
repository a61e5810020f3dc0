import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "./image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "./image-location.ts";
import { captionColumns, imageColumns, readTexts, settingOf } from "./table.ts";

/** An image and what people say of it. */
export interface CaptionedImage extends ImageLocation {
  /** At least one, none empty. */
  readonly captions: readonly string[];
}

/** Where in a table the images and captions are. */
export interface CaptionColumns {
  /** Default: the first of `image`, `path`, `filepath` that exists. */
  readonly imageColumn?: string | undefined;
  /** Default: the first of `caption`, `title` that exists. */
  readonly captionColumn?: string | undefined;
  /** What stands between several captions of a row; without it a row has one. */
  readonly separator?: string | undefined;
  /** What paths of images are relative to, and where these may lie, links followed. Default: the table's folder. */
  readonly images?: string | undefined;
}

/**
 * Reads images with their captions from a `.csv` or `.tsv`; the captions of all rows of an image belong to it.
 *
 * @throws {ClipError} `CLIP_DATA` as {@link readTexts} and {@link assertSomeExist}, and if there is no row.
 */
export async function readCaptionTable(
  path: string,
  { imageColumn, captionColumn, separator, images }: CaptionColumns = {},
): Promise<{ readonly samples: readonly CaptionedImage[]; readonly skipped: readonly SkippedImage[] }> {
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
