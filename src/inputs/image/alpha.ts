/** Mask of two 8-bit channels of a packed pixel, spaced 16 bits apart to compute with both at once. */
export const evenChannels = 0x00ff00ff;

/**
 * Multiplies two channels by `factor` / 255, rounding to nearest.
 *
 * @param channels - two channels, masked with {@link evenChannels}.
 * @param factor - In [0, 255].
 */
export function scaleChannels(channels: number, factor: number): number {
  const product = Math.imul(channels, factor) + 0x00800080;
  return ((product + ((product >>> 8) & evenChannels)) >>> 8) & evenChannels;
}

/** Multiplies colours by alpha / 255, as needed before averaging pixels. */
export function premultiply(pixel: number): number {
  const alpha = pixel >>> 24;
  if (alpha === 255) return pixel;
  if (alpha === 0) return 0;
  const green = scaleChannels((pixel >>> 8) & 255, alpha);
  return scaleChannels(pixel & evenChannels, alpha) | (green << 8) | (alpha << 24);
}

/** Divides colours by alpha / 255, rounding down like Pillow; pixels with alpha 0 are unchanged. */
export function unpremultiply(pixel: number): number {
  const alpha = pixel >>> 24;
  if (alpha === 255 || alpha === 0) return pixel;
  const red = Math.min(255, Math.trunc((255 * (pixel & 255)) / alpha));
  const green = Math.min(255, Math.trunc((255 * ((pixel >>> 8) & 255)) / alpha));
  const blue = Math.min(255, Math.trunc((255 * ((pixel >>> 16) & 255)) / alpha));
  return red | (green << 8) | (blue << 16) | (alpha << 24);
}
