import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { Random } from "../../core/random.ts";
import { readBmp, readIcon } from "./bmp.ts";
import { decodeImage } from "./decode.ts";
import { readPnm } from "./pnm.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/formats/", import.meta.url));
interface Expected {
  readonly size: readonly [number, number];
  readonly rgba: string;
  readonly mode: string;
}
const { files } = JSON.parse(await readFile(join(fixtures, "expected.json"), "utf8")) as {
  readonly files: Readonly<Record<string, Expected>>;
};

const cases = `${sharedFolder}cases/`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clip-ts-formats-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("BMP, ICO and PNM", () => {
  it.each(Object.keys(files))("%s has Pillow's pixels, with any extension", async (name) => {
    const path = join(folder, `${name}.jpg`);
    await writeFile(path, await readFile(join(fixtures, name)));
    const image = await decodeImage(path);
    const { size, rgba, mode } = files[name]!;
    expect([image.width, image.height]).toEqual(size);
    expect(createHash("sha256").update(image.pixels).digest("hex")).toBe(rgba);
    expect(image).toMatchObject({ hasAlpha: mode === "RGBA", nearest: mode === "P" || mode === "1" });
  });

  it.each(Object.keys(files))("%s is refused if truncated anywhere", async (name) => {
    const bytes = await readFile(join(fixtures, name));
    for (const share of [0.2, 0.5, 0.8, 0.95]) {
      const cut = bytes.subarray(0, Math.floor(share * bytes.length));
      const error: unknown = await decodeImage(cut, { name: "cut" }).catch((error: unknown) => error);
      // The mask at the end of an icon may be missing, and text has no length.
      if (!(error instanceof Error) && (name.endsWith(".ico") || name.startsWith("plain"))) continue;
      expect(error, `${share} of ${name}`).toMatchObject({
        code: "CLIP_IMAGE",
        message: expect.stringMatching(/^cut is (damaged or cut short|not an image|text)/) as string,
      });
    }
  });

  it("throw only errors and allocate within limits, whatever bytes change", async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = new Random(seed);
    for (const name of Object.keys(files)) {
      const bytes = await readFile(join(fixtures, name));
      for (let round = 0; round < 60; round++) {
        const changed = Uint8Array.from(bytes);
        for (let i = 0; i < 3; i++) changed[random.integer(Math.min(64, changed.length))] = random.integer(256);
        const image: unknown = await decodeImage(changed, { maxImagePixels: 10_000 }).catch((error: unknown) => error);
        if (image instanceof Error) expect(image, `${name}, seed ${seed}`).toMatchObject({ code: "CLIP_IMAGE" });
        else
          expect((image as { pixels: Uint8Array }).pixels.length, `${name}, seed ${seed}`).toBeLessThanOrEqual(40_000);
      }
    }
  });
});

describe("a bitmap", () => {
  const bitmap = ([width, height]: [number, number], bits: number, compression: number, ...rest: number[]) => {
    const head = Buffer.alloc(54);
    head.write("BM");
    head.writeUInt32LE(54 + (compression === 3 ? 12 : 8), 10);
    head.writeUInt32LE(40, 14);
    head.writeInt32LE(width, 18);
    head.writeInt32LE(height, 22);
    head.writeUInt16LE(bits, 28);
    head.writeUInt32LE(compression, 30);
    head.writeUInt32LE(bits === 8 ? 2 : 0, 46);
    return Buffer.concat([head, Buffer.from(rest)]);
  };

  it("whose masks are zero has blue, green, red and alpha, as in Pillow", async () => {
    const image = await decodeImage(bitmap([2, 1], 32, 3, ...Array<number>(12).fill(0), 1, 2, 3, 4, 5, 6, 7, 8));
    expect([...image.pixels]).toEqual([3, 2, 1, 4, 7, 6, 5, 8]);
    expect(image.hasAlpha).toBe(true);
  });

  it("with run-length encoding may lack its end marker, but no pixels", async () => {
    const palette = [0, 0, 0, 0, 9, 8, 7, 0];
    const runs = [3, 1, 0, 0, 2, 0, 1, 1];
    const whole = await decodeImage(bitmap([3, 2], 8, 1, ...palette, ...runs, 0, 1));
    expect([...whole.pixels.filter((_, i) => i % 4 === 0)]).toEqual([0, 0, 7, 7, 7, 7]);
    expect(await decodeImage(bitmap([3, 2], 8, 1, ...palette, ...runs))).toEqual(whole);
    await expect(decodeImage(bitmap([3, 2], 8, 1, ...palette, ...runs.slice(0, 6)))).rejects.toThrow(
      /damaged or cut short \(it ends too early\)/,
    );
  });
});

describe("CUR and PAM", () => {
  it.each(["png.ico", "32.ico", "4.ico"])(
    "a cursor has the pixels of the icon %s, wherever it points",
    async (name) => {
      const icon = await readFile(join(fixtures, name));
      const cursor = Uint8Array.from(icon);
      cursor[2] = 2;
      cursor.set([3, 0, 5, 0], 10); // hot spot of a cursor; planes and bits of an icon
      expect(await decodeImage(cursor)).toEqual(await decodeImage(icon));
    },
  );

  it.each([
    [1, "GRAYSCALE", [9], [9, 9, 9, 255]],
    [2, "GRAYSCALE_ALPHA", [9, 8], [9, 9, 9, 8]],
    [3, "RGB", [9, 8, 7], [9, 8, 7, 255]],
    [4, "RGB_ALPHA", [9, 8, 7, 6], [9, 8, 7, 6]],
  ])("a PAM of depth %i is %s", async (depth, type, stored, wanted) => {
    const head = `P7\n# ours\nWIDTH 1\nHEIGHT 1\nDEPTH ${depth}\nMAXVAL 255\nTUPLTYPE ${type}\nENDHDR\n`;
    const image = await decodeImage(Buffer.concat([Buffer.from(head), Buffer.from(stored)]));
    expect([...image.pixels]).toEqual(wanted);
    expect(image.hasAlpha).toBe(depth % 2 === 0);
  });
});

describe("a header that declares too much", () => {
  const bitmap = (width: number, height: number, bits = 24, compression = 0) => {
    const bytes = new Uint8Array(200);
    const view = new DataView(bytes.buffer);
    bytes.set([0x42, 0x4d]);
    view.setUint32(10, 54, true);
    view.setUint32(14, 40, true);
    view.setInt32(18, width, true);
    view.setInt32(22, height, true);
    view.setUint16(28, bits, true);
    view.setUint32(30, compression, true);
    return bytes;
  };

  it("is refused for its size before its pixels are read", async () => {
    const message = /60000 × 60000 pixels; at most 178956970/;
    await expect(decodeImage(bitmap(60_000, 60_000))).rejects.toThrow(message);
    await expect(decodeImage(Buffer.from("P6 60000 60000 255\n"))).rejects.toThrow(message);
  });

  it("is refused for missing pixels before memory is allocated", () => {
    expect(() => readBmp(bitmap(100_000, 100_000)).decode()).toThrow(
      /its pixels end at byte 30000000054, the file at 200/,
    );
    expect(() => readPnm(Buffer.from("P5 100000 100000 255\n")).decode()).toThrow(
      /need 10000000000 bytes, but 0 follow/,
    );
  });

  it.each([
    [bitmap(0, 5), /its size is 0 × 5/],
    [bitmap(-3, 5), /its size is -3 × 5/],
    [bitmap(3, 5, 7), /encoding 0 of 7 bits is not supported/],
    [bitmap(3, 5, 24, 5), /encoding 5 of 24 bits is not supported/],
  ])("is refused if invalid (%#)", (bytes, message) => {
    expect(() => readBmp(bytes)).toThrow(message);
  });

  it("of an icon refers beyond the end of the file", () => {
    const icon = Uint8Array.of(0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 99, 0, 0, 0, 22, 0, 0, 0);
    expect(() => readIcon(icon)).toThrow(/beyond the end of the file/);
  });
});

describe("a folder of images with any extension", () => {
  it.skipIf(sharedMissing)(`is decoded by content; unsupported formats are reported${sharedMissing}`, async () => {
    const root = join(cases, "jfif-folder");
    const paths = await readdir(root, { recursive: true, withFileTypes: true });
    const refused: string[] = [];
    for (const { name, parentPath } of paths.filter((entry) => entry.isFile())) {
      const image: unknown = await decodeImage(join(parentPath, name)).catch((error: unknown) => error);
      if (image instanceof Error) refused.push(`${name}: ${image.message}`);
    }
    expect(refused).toEqual([expect.stringMatching(/^x\.jp2: .* is JPEG 2000, which is not supported; convert/)]);
  });

  it.skipIf(sharedMissing)(`reports HEIC, also if it is named like a JPEG${sharedMissing}`, async () => {
    const path = join(folder, "phone.jpg");
    await writeFile(path, await readFile(join(cases, "heic/phone.heic")));
    await expect(decodeImage(path)).rejects.toThrow(`${path} is HEIC, which is not supported; convert it to JPEG`);
  });
});
