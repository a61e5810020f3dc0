/** Two 8-bit channels of a packed pixel, each in the low half of 16 bits: room to compute with both at once. */
export const evenChannels = 0x00ff00ff;

/**
 * Both of two channels times `factor` / 255, rounded to nearest.
 *
 * @param channels - Two channels, as {@link evenChannels} cuts them out.
 * @param factor - In [0, 255].
 */
export function scaleChannels(channels: number, factor: number): number {
  const product = Math.imul(channels, factor) + 0x00800080;
  return ((product + ((product >>> 8) & evenChannels)) >>> 8) & evenChannels;
}

/** Colours times alpha / 255: what means of half-transparent pixels have to be taken of. */
export function premultiply(pixel: number): number {
  const alpha = pixel >>> 24;
  if (alpha === 255) return pixel;
  if (alpha === 0) return 0;
  const green = scaleChannels((pixel >>> 8) & 255, alpha);
  return scaleChannels(pixel & evenChannels, alpha) | (green << 8) | (alpha << 24);
}

/** The straight colour again, rounded down as Pillow does; what lies under alpha 0 stays as it is. */
export function unpremultiply(pixel: number): number {
  const alpha = pixel >>> 24;
  if (alpha === 255 || alpha === 0) return pixel;
  const red = Math.min(255, Math.trunc((255 * (pixel & 255)) / alpha));
  const green = Math.min(255, Math.trunc((255 * ((pixel >>> 8) & 255)) / alpha));
  const blue = Math.min(255, Math.trunc((255 * ((pixel >>> 16) & 255)) / alpha));
  return red | (green << 8) | (blue << 16) | (alpha << 24);
}
