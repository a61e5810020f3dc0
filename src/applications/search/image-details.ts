import readExif, { type Exif } from "exif-reader";
import type { Item } from "./store.ts";

/** What an image file tells about itself. */
export type ImageDetails = Pick<
  Item,
  "taken" | "camera" | "lens" | "place" | "latitude" | "longitude" | "width" | "height" | "rating" | "description"
>;

/** Longer texts are cut: some programs store whole histories. */
const maxText = 2000;

/**
 * The camera's record (EXIF, XMP) of an image. What is missing or damaged is left out: it never keeps an image from the index.
 */
export async function readImageDetails(bytes: Uint8Array, isRaw = false): Promise<ImageDetails> {
  const { default: sharp } = await import("sharp");
  // Of a camera raw file, sharp would describe the thumbnail.
  if (isRaw) return detailsOf(exifOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)), "");
  const metadata = await sharp(bytes, { failOn: "none" })
    .metadata()
    .catch(() => undefined);
  if (!metadata) return {};
  const turned = (metadata.orientation ?? 1) > 4;
  const [width, height] = turned ? [metadata.height, metadata.width] : [metadata.width, metadata.height];
  const exif = metadata.exif && exifOf(metadata.exif);
  const xmp = metadata.xmp ? new TextDecoder().decode(metadata.xmp.subarray(0, 2 ** 20)) : "";
  return { ...known({ width, height }), ...detailsOf(exif, xmp) };
}

const detailsOf = (exif: Exif | undefined, xmp: string): ImageDetails =>
  known({ ...(exif && fromExif(exif)), ...fromXmp(xmp) });

function exifOf(bytes: Buffer): Exif | undefined {
  try {
    return readExif(bytes);
  } catch {
    return undefined;
  }
}

function fromExif({ Image = {}, Photo = {}, GPSInfo = {} }: Exif): ImageDetails {
  const { GPSLatitude, GPSLatitudeRef, GPSLongitude, GPSLongitudeRef } = GPSInfo;
  const taken = Photo.DateTimeOriginal ?? Photo.DateTimeDigitized ?? Image.DateTime;
  const rating = (Image as { readonly Rating?: unknown }).Rating;
  return known({
    taken: dateOf(taken),
    camera: cameraOf(textOf(Image.Make), textOf(Image.Model)),
    lens: textOf(Photo.LensModel),
    latitude: degreesOf(GPSLatitude, GPSLatitudeRef, 90),
    longitude: degreesOf(GPSLongitude, GPSLongitudeRef, 180),
    rating: typeof rating === "number" && rating >= 1 && rating <= 5 ? Math.round(rating) : undefined,
    description: textOf(Image.ImageDescription),
  });
}

/** The camera's clock, which has no time zone; the library reads it as if it were UTC. */
function dateOf(value: unknown): string | undefined {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) return undefined;
  const year = value.getUTCFullYear();
  return year < 1826 || year > 9999 ? undefined : value.toISOString().slice(0, 19);
}

/** Many models begin with the maker's name. */
function cameraOf(make: string | undefined, model: string | undefined): string | undefined {
  if (!make || !model) return model ?? make;
  return model.toLowerCase().startsWith(make.toLowerCase().split(" ")[0]!) ? model : `${make} ${model}`;
}

function degreesOf(value: unknown, reference: unknown, most: number): number | undefined {
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [degrees, minutes, seconds] = value.map(Number) as [number, number, number];
  const size = degrees + minutes / 60 + seconds / 3600;
  const isNegative = typeof reference === "string" && /^[SW]/i.test(reference);
  return Number.isFinite(size) && Math.abs(size) <= most ? (isNegative ? -size : size) : undefined;
}

function textOf(value: unknown): string | undefined {
  const text = typeof value === "string" ? value.replaceAll(/[\0-\x1f]+/g, " ").trim() : "";
  return text === "" ? undefined : text.slice(0, maxText);
}

/** XMP is XML, of which a few values are wanted: an attribute or an element of one text. */
function fromXmp(xmp: string): ImageDetails {
  const value = (name: string) =>
    textOf(unescaped(new RegExp(`\\b${name}="([^"]{0,${maxText}})"|<${name}>([^<]{0,${maxText}})</`).exec(xmp)));
  const description = /<dc:description>\s*<rdf:Alt>\s*<rdf:li[^>]{0,100}>([^<]{0,2000})</.exec(xmp);
  const rating = Number(value("xmp:Rating") ?? NaN);
  const places = [value("photoshop:City"), value("photoshop:State"), value("photoshop:Country")];
  return known({
    rating: rating >= 1 && rating <= 5 ? Math.round(rating) : undefined,
    description: textOf(unescaped(description)),
    place: places.filter(Boolean).join(", ") || undefined,
  });
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescaped(found: RegExpExecArray | null): string | undefined {
  return (found?.[1] ?? found?.[2])?.replaceAll(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => entities[name]!);
}

function known(details: ImageDetails): ImageDetails {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
}
