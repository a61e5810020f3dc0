import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "./decode.ts";
import { rawName, rawPreviews } from "./raw-preview.ts";

const jpeg = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "red" } })
    .jpeg()
    .toBuffer();

/** A TIFF header with DNG's tag and an orientation, then what a camera writes: a thumbnail, pixels, a preview. */
async function raw(orientation: number): Promise<Buffer> {
  const header = Buffer.alloc(64);
  header.write("II*\0", "latin1");
  header.writeUInt32LE(8, 4);
  header.writeUInt16LE(2, 8);
  for (const [i, [tag, value]] of [
    [274, orientation],
    [0xc612, 1],
  ].entries()) {
    header.writeUInt16LE(tag!, 10 + 12 * i);
    header.writeUInt16LE(3, 12 + 12 * i);
    header.writeUInt32LE(1, 14 + 12 * i);
    header.writeUInt16LE(value!, 18 + 12 * i);
  }
  const pixels = Buffer.from([1, 2, 0xff, 0xd8, 0xff, 7, 7, 0xff, 0xd8, 0xff, 0xff]);
  return Buffer.concat([header, await jpeg(16, 12), pixels, await jpeg(64, 48), pixels]);
}

describe("rawPreviews", () => {
  it("finds the JPEGs of a raw file, the largest first, whatever lies between them", async () => {
    const sizes: number[] = [];
    for (const preview of rawPreviews(await raw(1)))
      await decodeImage(preview).then(
        ({ width }) => sizes.push(width),
        () => undefined,
      );
    expect([sizes[0], sizes.at(-1)]).toEqual([64, 16]);
  });

  it("turns them as the raw file says", async () => {
    const [largest] = rawPreviews(await raw(6));
    expect(await decodeImage(largest!)).toMatchObject({ width: 48, height: 64 });
  });

  it("finds none where there are none, and knows the names of raw files", () => {
    expect(rawPreviews(Buffer.alloc(100, 0xff))).toEqual([]);
    expect(["a.NEF", "b.cr3", "c.jpg", "raw"].map((name) => rawName.test(name))).toEqual([true, true, false, false]);
  });
});
