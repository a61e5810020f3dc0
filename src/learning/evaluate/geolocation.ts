import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "../../inputs/data/image-location.ts";
import { imageColumns, readTexts } from "../../inputs/data/table.ts";
import { checkKind, checkOptions } from "../../core/options.ts";
import { type ClipEncoder, dot, encoderKind } from "../../model/embedding/encoder.ts";
import { encodeReadable, readKinds, type ReadOptions } from "../../model/embedding/encode-readable.ts";

/** An image and the place where it was taken, in degrees. */
export interface PlacedImage extends ImageLocation {
  /** In [−90, 90], north positive. */
  readonly latitude: number;
  /** In [−180, 180], east positive. */
  readonly longitude: number;
}

/**
 * Reads a `.csv`, `.tsv` or `.jsonl` with the columns `image` (or `path`, `filepath`; relative to the file's folder), `latitude` and
 * `longitude`.
 *
 * @param root - another base folder of the paths, which must not leave it.
 * @throws {ClipError} `CLIP_DATA`, see `readTexts`; or if there are no rows, or coordinates are out of range.
 */
export async function readPlacedImages(
  path: string,
  root?: string,
): Promise<{ readonly images: readonly PlacedImage[]; readonly skipped: readonly SkippedImage[] }> {
  const columns = { image: imageColumns, latitude: ["latitude"], longitude: ["longitude"] };
  const { rows, skipped } = await readTexts(path, columns);
  if (rows.length === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  const images = rows.map(({ place, values }) => {
    const [latitude, longitude] = [Number(values.latitude), Number(values.longitude)];
    const isOnEarth = Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180;
    const given = `${values.latitude}, ${values.longitude}`;
    if (!isOnEarth)
      throw new ClipError("CLIP_DATA", `${path}, ${place}: ${given} is not a latitude and longitude in degrees`);
    return { ...imageOfTable(path, place, values.image, root), latitude, longitude };
  });
  await assertSomeExist(path, images, baseOf(root));
  return { images, skipped };
}

/** Mean radius of the Earth, in kilometres. */
const earthRadius = 6371;

/** Great-circle distance in kilometres, by the haversine formula. */
export function distanceKm(a: Omit<PlacedImage, keyof ImageLocation>, b: typeof a): number {
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const half = (from: number, to: number) => Math.sin(radians(to - from) / 2) ** 2;
  const h =
    half(a.latitude, b.latitude) +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * half(a.longitude, b.longitude);
  return 2 * earthRadius * Math.asin(Math.sqrt(Math.min(1, h)));
}

/** IM2GPS's radii in kilometres: street, city, region, country, continent. */
export const placeDistances = [1, 25, 200, 750, 2500] as const;

export interface GeolocationScores {
  readonly count: number;
  readonly references: number;
  /** Share of images within each of `placeDistances`. */
  readonly within: readonly { readonly kilometres: number; readonly share: number }[];
  readonly broken: readonly SkippedImage[];
}

/**
 * Geolocation by nearest neighbor: an image gets the place of the most similar reference (Radford et al. 2021, IM2GPS). Holds the
 * embeddings of all references: 2 GB for a million of 512 numbers.
 *
 * @throws {ClipError} `CLIP_DATA` if no image or no reference can be read.
 */
export async function evaluateGeolocation(
  encoder: ClipEncoder,
  images: readonly PlacedImage[],
  references: readonly PlacedImage[],
  options: Omit<ReadOptions, "onSkip"> = {},
): Promise<GeolocationScores> {
  checkKind("evaluateGeolocation: the model", encoder, encoderKind);
  checkOptions("evaluateGeolocation", options, readKinds);
  const broken: SkippedImage[] = [];
  const reading = { ...options, onSkip: (image: SkippedImage) => void broken.push(image) };
  const once = (placed: readonly PlacedImage[]) => new Map(placed.map((place) => [place.image, place])).values();
  const known: { readonly place: PlacedImage; readonly imageEmbed: Float32Array }[] = [];
  for await (const [place, imageEmbed] of encodeReadable(encoder, once(references), reading))
    known.push({ place, imageEmbed });
  const distances: number[] = [];
  for await (const [place, imageEmbed] of encodeReadable(encoder, once(images), reading)) {
    let [nearest, best] = [known[0], -Infinity];
    for (const candidate of known) {
      const similarity = dot(imageEmbed, candidate.imageEmbed);
      if (similarity > best) [nearest, best] = [candidate, similarity];
    }
    if (nearest) distances.push(distanceKm(place, nearest.place));
  }
  if (distances.length === 0)
    throw new ClipError("CLIP_DATA", `no image could be located: ${broken[0]?.reason ?? "there are none"}`);
  return {
    ...{ count: distances.length, references: known.length, broken },
    within: placeDistances.map((kilometres) => ({
      kilometres,
      share: distances.filter((distance) => distance <= kilometres).length / distances.length,
    })),
  };
}
