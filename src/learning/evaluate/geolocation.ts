import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "../../inputs/data/image-location.ts";
import { imageColumns, readTexts } from "../../inputs/data/table.ts";
import { type ClipEncoder, dot } from "../../model/embedding/encoder.ts";
import { type BrokenImage, encodeReadable, type ReadOptions } from "./encode-images.ts";

/** An image with the place where it was taken, in degrees. */
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
 * @throws {ClipError} `CLIP_DATA`, see {@link readTexts}; or if there are no rows, or coordinates are out of range.
 */
export async function readPlacedImages(
  path: string,
  root?: string,
): Promise<{ readonly images: readonly PlacedImage[]; readonly skipped: readonly SkippedImage[] }> {
  const { rows, skipped } = await readTexts(path, {
    ...{ image: imageColumns, latitude: ["latitude"], longitude: ["longitude"] },
  });
  if (rows.length === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  const images = rows.map(({ place, values }) => {
    const [latitude, longitude] = [Number(values.latitude), Number(values.longitude)];
    if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180))
      throw new ClipError(
        "CLIP_DATA",
        `${path}, ${place}: ${values.latitude}, ${values.longitude} is not a latitude and longitude in degrees`,
      );
    return { ...imageOfTable(path, place, values.image, root), latitude, longitude };
  });
  await assertSomeExist(path, images, baseOf(root));
  return { images, skipped };
}

/** Mean radius of the Earth, in kilometres. */
const earthRadius = 6371;

/** Great-circle distance in kilometres, by the haversine formula. */
export function distanceKm(
  a: Pick<PlacedImage, "latitude" | "longitude">,
  b: Pick<PlacedImage, "latitude" | "longitude">,
): number {
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const half = (from: number, to: number) => Math.sin(radians(to - from) / 2) ** 2;
  const h =
    half(a.latitude, b.latitude) +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * half(a.longitude, b.longitude);
  return 2 * earthRadius * Math.asin(Math.sqrt(Math.min(1, h)));
}

/** IM2GPS's distances in kilometres: street, city, region, country, continent. */
export const placeDistances = [1, 25, 200, 750, 2500] as const;

/** Scores of {@link evaluateGeolocation}. */
export interface GeolocationScores {
  readonly count: number;
  readonly references: number;
  /** Share of images within each of {@link placeDistances}. */
  readonly within: readonly { readonly kilometres: number; readonly share: number }[];
  readonly broken: readonly BrokenImage[];
}

/**
 * Geolocates each image by its most similar reference image (Radford et al. 2021, IM2GPS). Keeps the references' embeddings in
 * memory: 2 GB for a million of length 512.
 *
 * @throws {ClipError} `CLIP_DATA` if no image or no reference can be read.
 */
export async function evaluateGeolocation(
  encoder: ClipEncoder,
  images: readonly PlacedImage[],
  references: readonly PlacedImage[],
  reading: Omit<ReadOptions, "onBroken"> = {},
): Promise<GeolocationScores> {
  const broken: BrokenImage[] = [];
  const options = { ...reading, onBroken: (image: BrokenImage) => void broken.push(image) };
  const encoded = (placed: readonly PlacedImage[]) => {
    const places = new Map(placed.map((place) => [place.image, place]));
    return { places, embeds: encodeReadable(encoder, places.values(), options) };
  };
  const known: { readonly place: PlacedImage; readonly imageEmbed: Float32Array }[] = [];
  const reference = encoded(references);
  for await (const { image, imageEmbed } of reference.embeds)
    known.push({ place: reference.places.get(image)!, imageEmbed });
  const distances: number[] = [];
  const query = encoded(images);
  for await (const { image, imageEmbed } of query.embeds) {
    let [nearest, best] = [known[0], -Infinity];
    for (const candidate of known) {
      const similarity = dot(imageEmbed, candidate.imageEmbed);
      if (similarity > best) [nearest, best] = [candidate, similarity];
    }
    if (nearest) distances.push(distanceKm(query.places.get(image)!, nearest.place));
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
