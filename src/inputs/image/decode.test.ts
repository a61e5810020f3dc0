import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "./decode.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/preprocess/", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clip-ts-decode-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function place(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** A PNG whose header declares `width` × `height` pixels but whose data are empty. */
function pngHeader(width: number, height: number): Uint8Array {
  const chunk = (type: string, content: Buffer) => {
    const named = Buffer.concat([Buffer.from(type, "latin1"), content]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", Buffer.alloc(8)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** A TIFF of 2 × 1 pixels, from its 16-bit tags and its only strip. */
function tiff(tags: Readonly<Record<number, readonly number[]>>, strip: readonly number[]): Uint8Array {
  const place = { 256: [2], 257: [1], 259: [1], 273: [8], 278: [1], 279: [strip.length] };
  const entries = Object.entries({ ...place, ...tags }).sort(([a], [b]) => Number(a) - Number(b));
  const start = 8 + strip.length + (strip.length % 2);
  const bytes = Buffer.alloc(start + 6 + 12 * entries.length + 2000);
  bytes.write("II*\0", "latin1");
  bytes.writeUInt32LE(start, 4);
  bytes.set(strip, 8);
  bytes.writeUInt16LE(entries.length, start);
  let end = start + 6 + 12 * entries.length;
  for (const [i, [tag, values]] of entries.entries()) {
    const entry = start + 2 + 12 * i;
    bytes.writeUInt16LE(Number(tag), entry);
    bytes.writeUInt16LE(3, entry + 2);
    bytes.writeUInt32LE(values.length, entry + 4);
    const isInline = values.length <= 2;
    if (!isInline) bytes.writeUInt32LE(end, entry + 8);
    values.forEach((value, k) => bytes.writeUInt16LE(value, (isInline ? entry + 8 : end) + 2 * k));
    if (!isInline) end += 2 * values.length;
  }
  return bytes;
}

describe("decodeImage reports the file and advice", () => {
  const refused = async (path: string, options = {}) => {
    const error: unknown = await decodeImage(path, options).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "CLIP_IMAGE", message: expect.stringContaining(path) as string });
    return (error as Error).message;
  };

  it("when the file is missing", async () => {
    expect(await refused(join(folder, "nowhere.jpg"))).toMatch(/does not exist; check the path$/);
  });

  it("when it is a folder", async () => {
    expect(await refused(folder)).toMatch(/is a folder, not an image file$/);
  });

  it.skipIf(process.platform === "win32")("when it is a device that never ends", async () => {
    expect(await refused("/dev/zero")).toMatch(/is a device, not an image file/);
  });

  it("when it is empty", async () => {
    expect(await refused(await place("empty.jpg", ""))).toMatch(/is empty \(0 bytes\); copy or download it again$/);
  });

  it("when it is text named like a photo", async () => {
    const message = await refused(await place("text.jpg", "To whom it may concern: this is a letter.\n".repeat(9)));
    expect(message).toMatch(/is text, not an image$/);
  });

  it.each([
    ["text", "Grüße aus Köln 🖼, 東京. ".repeat(40), "is text, not an image"],
    ["a page", "<!doctype html><p>nicht gefunden", "is an HTML page, not an image: check the address"],
    ["JSON", '{"Fehler": "nicht gefunden"}', "is text, perhaps JSON, not an image"],
  ])("when it is %s in any Unicode encoding", async (_, text, message) => {
    const wide = Buffer.from(`\ufeff${text}`, "utf16le");
    for (const bytes of [Buffer.from(text), Buffer.from(`\ufeff${text}`), wide, Buffer.from(wide).swap16()])
      await expect(decodeImage(bytes)).rejects.toThrow(message);
    await expect(decodeImage(Uint8Array.of(0xff))).rejects.toThrow(/is not an image of a known format/);
  });

  it.each(["upright.jpg", "rgb.png", "palette.gif"])("when %s is truncated, at any place", async (name) => {
    const bytes = await readFile(join(fixtures, name));
    for (const share of [0.05, 0.3, 0.6, 0.9]) {
      const path = await place(`cut-${name}`, bytes.subarray(0, Math.floor(share * bytes.length)));
      expect(await refused(path), `${share} of ${name}`).toMatch(
        /is damaged or cut short \(.+\); copy|is not an image/,
      );
    }
  });

  it("when a PNG's bytes have changed", async () => {
    const bytes = await readFile(join(fixtures, "rgb.png"));
    bytes[bytes.length >> 1]! ^= 0x55;
    expect(await refused(await place("changed.png", bytes))).toMatch(/is damaged or cut short/);
  });

  it("when a small file declares 3.6 billion pixels, before decoding any", async () => {
    const path = await place("bomb.png", pngHeader(60_000, 60_000));
    const before = process.memoryUsage().rss;
    expect(await refused(path)).toMatch(
      /has 60000 × 60000 pixels; at most 178956970 .*raise --max-image-pixels .maxImagePixels. or shrink/,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 29);
  });

  it("when it is one pixel over maxImagePixels, but not at the limit", async () => {
    const path = join(fixtures, "rgb.png");
    expect(await refused(path, { maxImagePixels: 43 * 29 - 1 })).toMatch(/43 × 29 pixels; at most 1246 /);
    expect(await decodeImage(path, { maxImagePixels: 43 * 29 })).toMatchObject({ width: 43, height: 29 });
  });
});

describe("decodeImage", () => {
  it("decodes a path and bytes alike, at any offset in memory", async () => {
    const path = join(fixtures, "rgba.png");
    const bytes = await readFile(path);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const fromPath = await decodeImage(path);
    expect(await decodeImage(bytes)).toEqual(fromPath);
    expect(await decodeImage(shifted.subarray(1))).toEqual(fromPath);
  });

  // For each EXIF orientation: place of the upright image's pixel (x, y) in the stored rows.
  const stored: Record<number, (x: number, y: number, w: number, h: number) => [number, number]> = {
    1: (x, y) => [x, y],
    2: (x, y, w) => [w - 1 - x, y],
    3: (x, y, w, h) => [w - 1 - x, h - 1 - y],
    4: (x, y, _, h) => [x, h - 1 - y],
    5: (x, y) => [y, x],
    6: (x, y, _, h) => [y, h - 1 - x],
    7: (x, y, w, h) => [w - 1 - y, h - 1 - x],
    8: (x, y, w) => [w - 1 - y, x],
  };
  it.each(Object.keys(stored).map(Number))(
    "turns a photo of EXIF orientation %i upright, unless told not to",
    async (orientation) => {
      const photo = sharp(join(fixtures, "upright.jpg")).withMetadata({ orientation });
      const bytes = await photo.jpeg().toBuffer();
      const [upright, rows] = [await decodeImage(bytes), await decodeImage(bytes, { orientation: "ignore" })];
      expect([rows.width, rows.height]).toEqual([43, 29]);
      expect([upright.width, upright.height]).toEqual(orientation < 5 ? [43, 29] : [29, 43]);
      const expected = Uint8Array.from({ length: upright.pixels.length }, (_, i) => {
        const [x, y] = [(i >> 2) % upright.width, Math.floor((i >> 2) / upright.width)];
        const [column, row] = stored[orientation]!(x, y, rows.width, rows.height);
        return rows.pixels[4 * (row * rows.width + column) + (i & 3)]!;
      });
      expect(Buffer.compare(upright.pixels, expected)).toBe(0);
    },
  );

  it("keeps alpha straight, and reports which images have one", async () => {
    const pixels = Uint8Array.of(200, 100, 50, 10, 1, 2, 3, 0);
    const png = await sharp(pixels, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    const decoded = await decodeImage(png);
    expect(decoded).toMatchObject({ width: 2, height: 1, hasAlpha: true, nearest: false });
    expect([...decoded.pixels]).toEqual([...pixels]);
    // As in the reference, a transparent key colour is not alpha; a palette's transparency is.
    expect(await decodeImage(join(fixtures, "colour-key.png"))).toMatchObject({ hasAlpha: false, nearest: false });
    expect(await decodeImage(join(fixtures, "palette-transparent.png"))).toMatchObject({
      hasAlpha: true,
      nearest: true,
    });
    expect(await decodeImage(join(fixtures, "upright.jpg"))).toMatchObject({ hasAlpha: false, nearest: false });
  });

  it("draws an SVG at its own size", async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><rect width="3" height="2" fill="#f00"/></svg>';
    const decoded = await decodeImage(Buffer.from(svg));
    expect(decoded).toMatchObject({ width: 3, height: 2 });
    expect([...decoded.pixels]).toEqual(Array(6).fill([255, 0, 0, 255]).flat());
  });

  it("draws an SVG in gzip or UTF-16; unpacks nothing else, and at most 64 MiB", async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><rect width="3" height="2" fill="#f00"/></svg>';
    const wanted = await decodeImage(Buffer.from(svg));
    expect(await decodeImage(gzipSync(svg))).toEqual(wanted);
    const wide = Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-16"?>${svg}`, "utf16le");
    expect(await decodeImage(wide)).toEqual(wanted);
    expect(await decodeImage(Buffer.from(wide).swap16())).toEqual(wanted);
    const others = [
      gzipSync(gzipSync(svg)),
      gzipSync(svg).subarray(0, 60),
      gzipSync(await readFile(join(fixtures, "rgb.png"))),
    ];
    for (const bytes of [...others, gzipSync(svg + " ".repeat(2 ** 26))])
      await expect(decodeImage(bytes)).rejects.toThrow(/is compressed with gzip: unpack it first$/);
  });

  it("decodes the still image of an AVIF sequence", async () => {
    const avif = await sharp(join(fixtures, "rgb.png")).avif().toBuffer();
    const wanted = await decodeImage(avif);
    const sequence = Buffer.from(avif);
    sequence.write("avis", 8);
    expect(await decodeImage(sequence)).toEqual(wanted);
    expect(sequence.toString("latin1", 8, 12)).toBe("avis");
  });

  it("applies a TIFF's palette", async () => {
    const map = Array.from({ length: 768 }, (_, i) => 257 * (i % 256 === 7 ? 200 : 0));
    const bytes = tiff({ 258: [8], 262: [3], 277: [1], 320: map }, [7, 0]);
    const image = await decodeImage(bytes);
    expect([...image.pixels]).toEqual([200, 200, 200, 255, 0, 0, 0, 255]);
    expect(image).toMatchObject({ hasAlpha: false, nearest: true });
    expect(await decodeImage(tiff({ 258: [8], 262: [1], 277: [1] }, [7, 0]))).toMatchObject({ nearest: false });
  });

  it("refuses a TIFF with extra channels", async () => {
    const bits = (count: number) => Array<number>(count).fill(8);
    const rgba = tiff({ 258: bits(4), 262: [2], 277: [4], 338: [2] }, [1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...(await decodeImage(rgba)).pixels]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const count of [5, 10]) {
      const more = tiff(
        { 258: bits(count), 262: [2], 277: [count], 338: Array(count - 3).fill(0) },
        Array(2 * count).fill(9),
      );
      await expect(decodeImage(more), String(count)).rejects.toThrow(
        /is encoded in a way that is not supported \(.*channel.*\); convert it/,
      );
    }
  });
});
