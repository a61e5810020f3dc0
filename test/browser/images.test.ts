import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../../src/inputs/image/decode.ts";
import { type DecodeOptions } from "../../src/inputs/image/image-source.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { browserMissing, type OpenPage, openPage } from "./page.ts";

const own = fileURLToPath(new URL("../../fixtures/preprocess/", import.meta.url));
const formats = fileURLToPath(new URL("../../fixtures/formats/", import.meta.url));
const shared = join(sharedFolder, "fixtures/preprocess/images/");
const photos = join(sharedFolder, "data/coco/images/");

/** Addresses in the page of the images of these kinds, with their paths here. */
function imagesOf(kind: RegExp): [address: string, path: string][] {
  const list = (folder: string, address: string) =>
    readdirSync(folder)
      .filter((name) => kind.test(name))
      .map((name): [string, string] => [`${address}${name}`, join(folder, name)]);
  return [
    ...list(own, "repository/fixtures/preprocess/"),
    ...(sharedMissing ? [] : list(shared, "shared/fixtures/preprocess/images/")),
    ...(sharedMissing ? [] : list(photos, "shared/data/coco/images/")),
  ];
}

/** What the page decodes. */
async function decodedInPage(page: Page, address: string, options: DecodeOptions = {}) {
  const { base64, ...image } = await page.evaluate(
    async ({ address, options }) => {
      const { pixels, ...image } = await globalThis.clip.decodeImage(address, options);
      const url = await new Promise<string>((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result as string);
        reader.readAsDataURL(new Blob([Uint8Array.from(pixels)]));
      });
      return { ...image, base64: url.slice(url.indexOf(",") + 1) };
    },
    { address, options },
  );
  return { ...image, pixels: new Uint8Array(Buffer.from(base64, "base64")) };
}

/** Largest and mean difference of two images' levels. */
function difference(a: Uint8Array, b: Uint8Array) {
  let [largest, sum] = [a.length === b.length ? 0 : Infinity, 0];
  for (let i = 0; i < a.length; i++) {
    const levels = Math.abs(a[i]! - b[i]!);
    largest = Math.max(largest, levels);
    sum += levels;
  }
  return { largest, mean: sum / a.length };
}

describe.skipIf(browserMissing)(`images in a browser${browserMissing}`, () => {
  let opened: OpenPage;
  beforeAll(async () => {
    opened = await openPage();
  });
  afterAll(() => opened[Symbol.asyncDispose]());

  it("have the very pixels that Node reads if they are PNG", async () => {
    const images = imagesOf(/\.png$/);
    expect(images.length).toBeGreaterThan(8);
    for (const [address, path] of images) {
      const [met, wanted] = [await decodedInPage(opened.page, address), await decodeImage(path)];
      expect({ ...met, pixels: 0 }, address).toEqual({ ...wanted, pixels: 0 });
      expect(difference(met.pixels, wanted.pixels).largest, address).toBe(0);
    }
  });

  it("have them if they are JPEG and the library decodes them, turned or not", async () => {
    const images = imagesOf(/\.jpg$/).filter(([address]) => !address.includes("cmyk"));
    expect(images.length).toBeGreaterThanOrEqual(2);
    for (const orientation of ["apply", "ignore"] as const) {
      for (const [address, path] of images) {
        const met = await decodedInPage(opened.page, address, { orientation, jpegDecoder: "library" });
        const wanted = await decodeImage(path, { orientation });
        expect([met.width, met.height], address).toEqual([wanted.width, wanted.height]);
        expect(difference(met.pixels, wanted.pixels).largest, `${address} ${orientation}`).toBe(0);
      }
    }
  });

  it("have them if they are BMP, ICO or PNM", async () => {
    const names = readdirSync(formats).filter((name) => !name.endsWith(".json"));
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) {
      const met = await decodedInPage(opened.page, `repository/fixtures/formats/${name}`);
      const wanted = await decodeImage(join(formats, name));
      expect({ ...met, pixels: 0 }, name).toEqual({ ...wanted, pixels: 0 });
      expect(difference(met.pixels, wanted.pixels).largest, name).toBe(0);
    }
  });

  it("are refused with their format or their damage, and may be data: addresses, URLs and buffers", async () => {
    const jpeg = readFileSync(join(own, "upright.jpg"));
    const addressOf = (bytes: Uint8Array) => `data:;base64,${Buffer.from(bytes).toString("base64")}`;
    const met = await opened.page.evaluate(
      async ({ whole, cut, heic, page }) => {
        const { decodeImage } = globalThis.clip;
        const buffer = await (await fetch(whole)).arrayBuffer();
        const sources = [whole, new URL(whole), buffer, new DataView(buffer), cut, heic, page];
        const said = (error: Error) => error.message;
        return Promise.all(sources.map((source) => decodeImage(source).then(({ width }) => width, said)));
      },
      {
        whole: addressOf(Buffer.concat([jpeg, jpeg.subarray(0, 300)])),
        cut: addressOf(Buffer.concat([jpeg.subarray(0, -9), Buffer.alloc(9)])),
        heic: addressOf(Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1")),
        page: addressOf(Buffer.from("<!doctype html><p>no image")),
      },
    );
    expect(met).toEqual([
      ...[43, 43, 43, 43],
      expect.stringMatching(/is damaged or cut short \(the end of its pixels is missing\)/),
      expect.stringMatching(/is HEIC, which is not supported; convert it to JPEG/),
      expect.stringMatching(/is an HTML page, not an image/),
    ]);
  });

  it("are close if the browser decodes JPEG", async () => {
    let [largest, mean] = [0, 0];
    const images = imagesOf(/\.jpg$/).filter(([address]) => !address.includes("cmyk"));
    for (const [address, path] of images) {
      const [met, wanted] = [await decodedInPage(opened.page, address), await decodeImage(path)];
      expect([met.width, met.height], address).toEqual([wanted.width, wanted.height]);
      const differing = difference(met.pixels, wanted.pixels);
      [largest, mean] = [Math.max(largest, differing.largest), Math.max(mean, differing.mean)];
    }
    console.log(
      `${images.length} JPEGs by this browser: at most ${largest} levels off, ${mean.toFixed(3)} in the mean of the worst`,
    );
    expect(largest).toBeLessThanOrEqual(2);
  });

  it("may be a file, an image, a bitmap, a canvas or its data: the same if opaque", async () => {
    const same = await opened.page.evaluate(async (address) => {
      const { decodeImage } = globalThis.clip;
      const blob = await (await fetch(address)).blob();
      const image = new Image();
      image.src = address;
      const bitmap = await createImageBitmap(blob);
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      const context = canvas.getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
      offscreen.getContext("2d")!.drawImage(bitmap, 0, 0);
      const sources = {
        bytes: new Uint8Array(await blob.arrayBuffer()),
        ...{ blob, image, bitmap, canvas, offscreen },
        file: new File([blob], "image.png"),
        frame: new VideoFrame(bitmap, { timestamp: 0 }),
        data: context.getImageData(0, 0, bitmap.width, bitmap.height),
      };
      const wanted = String((await decodeImage(address)).pixels);
      const results: [string, boolean][] = [];
      for (const [name, source] of Object.entries(sources))
        results.push([name, String((await decodeImage(source)).pixels) === wanted]);
      return results;
    }, "repository/fixtures/preprocess/rgb.png");
    expect(same.filter(([, equal]) => !equal)).toEqual([]);
    expect(same).toHaveLength(9);
  });

  it("are refused by name if they are no images, cut, too large, or not there", async () => {
    const png = readFileSync(join(own, "rgb.png"));
    const jpeg = readFileSync(join(own, "upright.jpg"));
    const bomb = Buffer.from(png);
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    const messages = await opened.page.evaluate(
      async (files) => {
        const errors: [string, string | undefined, string][] = [];
        const attempt = async (name: string, source: string | File, options = {}) => {
          const error: unknown = await globalThis.clip.decodeImage(source, options).then(
            () => "decoded",
            (error: unknown) => error,
          );
          const { code, message } = error as { code?: string; message: string };
          errors.push([name, code, message]);
        };
        for (const [name, bytes] of Object.entries(files))
          await attempt(name, new File([Uint8Array.from(bytes)], name));
        await attempt("none.png", "none.png");
        const cutByLibrary = new File([Uint8Array.from(files["cut.jpg"])], "library.jpg");
        await attempt("library.jpg", cutByLibrary, { jpegDecoder: "library" });
        return errors;
      },
      {
        "letter.png": [..."To whom it may concern"].map((letter) => letter.charCodeAt(0)),
        "empty.png": [],
        "bomb.png": [...bomb],
        "cut.png": [...png.subarray(0, png.length - 40)],
        "head.png": [...png.subarray(0, 20)],
        "cut.jpg": [...jpeg.subarray(0, jpeg.length - 200)],
      },
    );
    for (const [name, code, message] of messages) {
      expect(code, `${name}: ${message}`).toBe("CLIP_IMAGE");
      expect(message).toContain(name);
    }
    expect(messages.find(([name]) => name === "bomb.png")![2]).toContain("60000 × 60000 pixels");
  });
});
