import { dirname, resolve } from "node:path";
import { ClipError } from "../core/errors.ts";
import type { Picture } from "../data/picture.ts";
import { readTexts } from "../data/table.ts";

/** A picture and what people say of it. */
export interface CaptionedPicture extends Picture {
  /** At least one, none empty. */
  readonly captions: readonly string[];
}

/** Where in a table the pictures and captions are. */
export interface CaptionColumns {
  /** Default `image`. */
  readonly imageColumn?: string | undefined;
  /** Default `caption`. */
  readonly captionColumn?: string | undefined;
  /** What stands between several captions of a row; without it a row has one. */
  readonly separator?: string | undefined;
  /** What paths of pictures are relative to. Default: the table's folder. */
  readonly images?: string | undefined;
}

/**
 * Reads pictures with their captions from a `.csv` or `.tsv`; the captions of all rows of a picture belong to it.
 *
 * @throws {ClipError} `CLIP_DATA` as {@link readTexts}, and if there is no row.
 */
export async function readCaptionTable(
  path: string,
  { imageColumn = "image", captionColumn = "caption", separator, images = dirname(path) }: CaptionColumns = {},
): Promise<CaptionedPicture[]> {
  const captionsOf = new Map<string, string[]>();
  for (const { place, values } of await readTexts(path, [imageColumn, captionColumn])) {
    const image = resolve(images, values[imageColumn]!);
    const captions = separator === undefined ? [values[captionColumn]!] : values[captionColumn]!.split(separator);
    const known = captions.map((caption) => caption.trim()).filter((caption) => caption !== "");
    if (known.length === 0)
      throw new ClipError("CLIP_DATA", `${path}, ${place}: "${captionColumn}" has nothing between its separators`);
    captionsOf.set(image, [...(captionsOf.get(image) ?? []), ...known]);
  }
  if (captionsOf.size === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  return [...captionsOf].map(([image, captions]) => ({ image, captions }));
}
