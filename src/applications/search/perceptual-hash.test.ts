import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "../../inputs/image/decode.ts";
import { Random } from "../../core/random.ts";
import { hashDistance, perceptualHash } from "./perceptual-hash.ts";

/** Smooth colours, as of a photo. */
async function scene(seed: number): Promise<Buffer> {
  const random = new Random(seed, 1);
  const pixels = Buffer.from(Uint8Array.from({ length: 6 * 5 * 3 }, () => random.integer(256)));
  return sharp(pixels, { raw: { width: 6, height: 5, channels: 3 } })
    .resize(480, 360, { kernel: "cubic" })
    .png()
    .toBuffer();
}
const hashOf = async (bytes: Buffer) => perceptualHash(await decodeImage(bytes));

describe("perceptualHash", () => {
  it("is close for copies of other sizes, formats and qualities, and far for other images", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const original = await scene(seed);
      const own = await hashOf(original);
      const copies = [
        sharp(original).resize(200, 150).png(),
        sharp(original).jpeg({ quality: 40 }),
        sharp(original).webp({ quality: 60 }),
        sharp(original).modulate({ brightness: 1.1 }).jpeg(),
      ];
      for (const copy of copies) expect(hashDistance(own, await hashOf(await copy.toBuffer()))).toBeLessThanOrEqual(4);
      expect(hashDistance(own, await hashOf(await scene(seed + 100)))).toBeGreaterThan(12);
    }
  });

  it("counts differing bits", () => {
    expect(hashDistance("0000000000000000", "ffffffffffffffff")).toBe(64);
    expect(hashDistance("8000000000000001", "0000000000000001")).toBe(1);
  });
});
