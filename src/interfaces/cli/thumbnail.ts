import type { RasterImage } from "../../inputs/image/raster-image.ts";

/** Longer side of an image on a page, in pixels. */
const thumbnailSize = 320;

export async function thumbnail(
  { pixels, width, height, hasAlpha }: RasterImage,
  size = thumbnailSize,
): Promise<string> {
  const { default: sharp } = await import("sharp");
  const small = sharp(pixels, { raw: { width, height, channels: 4 } }).resize({
    width: size,
    height: size,
    fit: "inside",
    withoutEnlargement: true,
  });
  const bytes = await (hasAlpha ? small.png() : small.removeAlpha().jpeg({ quality: 85 })).toBuffer();
  return `data:image/${hasAlpha ? "png" : "jpeg"};base64,${bytes.toString("base64")}`;
}
