import sharp from "sharp";

import type { Random } from "../../src/core/random.ts";
import type { Drawing } from "./drawings.ts";
import { svgDocument } from "./redraw.ts";

/** One artist's version of a thing. */
type Version = Pick<Drawing, "body" | "side">;

/**
 * Draws one thing as between two artists: on one side of a soft edge it is the first's, on the other the second's.
 * What both agree on, and so the caption, stays true everywhere.
 */
export async function renderBlend(
  versions: readonly [Version, Version],
  size: number,
  random: Random,
  out: string,
): Promise<void> {
  const [one, other] = await Promise.all(
    versions.map(({ body, side }) =>
      sharp(Buffer.from(svgDocument({ side }, body, size)))
        .ensureAlpha()
        .raw()
        .toBuffer(),
    ),
  );
  const share = softEdge(size, random);
  const blend = new Uint8Array(4 * size * size);
  for (let i = 0; i < share.length; i++) {
    const [oneAlpha, otherAlpha] = [(1 - share[i]!) * one![4 * i + 3]!, share[i]! * other![4 * i + 3]!];
    const alpha = oneAlpha + otherAlpha;
    for (let channel = 4 * i; channel < 4 * i + 3; channel++) {
      blend[channel] =
        alpha === 0 ? 0 : Math.round((one![channel]! * oneAlpha + other![channel]! * otherAlpha) / alpha);
    }
    blend[4 * i + 3] = Math.round(alpha);
  }
  await sharp(blend, { raw: { width: size, height: size, channels: 4 } })
    .png({ compressionLevel: 4 })
    .toFile(out);
}

/** The second's share of each pixel, [size, size]: 0 to 1 across a random line through the middle half, more or less softly. */
function softEdge(size: number, random: Random): Float32Array {
  const angle = random.uniform(0, 2 * Math.PI);
  const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
  const middle = random.uniform(-0.25, 0.25) * size;
  const width = random.uniform(0.1, 1.5) * size;
  return Float32Array.from({ length: size * size }, (_, i) => {
    const along = dx * ((i % size) - size / 2) + dy * (Math.floor(i / size) - size / 2) - middle;
    return Math.min(1, Math.max(0, 0.5 + along / width));
  });
}
