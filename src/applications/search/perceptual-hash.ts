import type { RasterImage } from "../../inputs/image/raster-image.ts";

/** Cells of the grid whose brightness is compared: eight differences in each of eight rows. */
const [columns, rows] = [9, 8];
/** Samples along each side of a cell; more would not change the bits of photos. */
const samples = 16;

/**
 * 64 bits that differ little between copies of an image in other sizes, formats and qualities (dHash: whether each cell of a grid
 * is brighter than its left neighbour), as 16 hexadecimal digits.
 */
export function perceptualHash(image: RasterImage): string {
  let bits = 0n;
  for (let row = 0; row < rows; row++) {
    let left = brightness(image, 0, row);
    for (let column = 1; column < columns; column++) {
      const own = brightness(image, column, row);
      bits = (bits << 1n) | (own > left ? 1n : 0n);
      left = own;
    }
  }
  return bits.toString(16).padStart(16, "0");
}

/** The number of bits in which two hashes differ, from 0 to 64. */
export function hashDistance(a: string, b: string): number {
  let difference = BigInt(`0x${a}`) ^ BigInt(`0x${b}`);
  let count = 0;
  for (; difference > 0n; difference &= difference - 1n) count++;
  return count;
}

/** Sum of the green channel, blended with white, at points spread over a cell: close to brightness, and cheap. */
function brightness({ width, height, pixels }: RasterImage, column: number, row: number): number {
  let sum = 0;
  for (let i = 0; i < samples; i++) {
    const y = Math.floor(((row + (i + 0.5) / samples) / rows) * height);
    for (let j = 0; j < samples; j++) {
      const x = Math.floor(((column + (j + 0.5) / samples) / columns) * width);
      const at = 4 * (y * width + x);
      sum += 255 + ((pixels[at + 1]! - 255) * pixels[at + 3]!) / 255;
    }
  }
  return sum;
}
