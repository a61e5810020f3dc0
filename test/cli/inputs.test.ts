import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats, readIntegers } from "../../src/model/checkpoints/stored-tensor.ts";
import { clipPreprocess } from "../../src/inputs/image/preprocess-config.ts";
import { decodeImage } from "../../src/inputs/image/decode.ts";
import { preprocessImage } from "../../src/inputs/image/preprocess.ts";
import { ClipTokenizer } from "../../src/inputs/text/tokenizer.ts";
import { writeRandomImage } from "../images.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyModel } from "../tiny-model.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"), {
  preprocess: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], resample: "bilinear" },
});
const file = await writeRandomImage(join(root, "image.png"), 1);

describe("clip-ts tokenize", () => {
  const idsOf = (out: string) =>
    (JSON.parse(out) as { results: { inputIds: number[] }[] }).results.map(({ inputIds }) => inputIds);

  it("prints the input ids of its arguments with the published vocabulary, unpadded, however long", async () => {
    const texts = ["a photo of a cat", "", "cat ".repeat(100)];
    const { code, out } = await call(["tokenize", ...texts, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ model: null, data: texts, results: texts.map((text) => ({ text })) });
    const ids = idsOf(out);
    expect(ids[0]).toEqual([49406, 320, 1125, 539, 320, 2368, 49407]);
    expect(ids[1]).toEqual([49406, 49407]);
    expect(ids[2]).toEqual([49406, ...Array<number>(100).fill(2368), 49407]);
  });

  it("takes one text per line of the standard input without arguments", async () => {
    const { out } = await call(["tokenize"], { input: "a cat\r\n\na dog\n" });
    expect(out).toBe("49406 320 2368 49407\n49406 49407\n49406 320 1929 49407");
  });

  it("refuses what is no text by its length", async () => {
    const long = "a".repeat(2 ** 20 + 1);
    expect(await call(["tokenize"], { input: `a cat\n${long}\n` })).toMatchObject({
      code: 1,
      err: expect.stringContaining("the standard input, line 2 is longer than 1048576 characters") as string,
    });
  });

  it("uses the vocabulary of the model named", async () => {
    const { tokenizer } = tinyModel();
    const { out } = await call(["tokenize", "a red apple", "--json", "--model", model]);
    const { startOfTextId, endOfTextId } = tokenizer;
    expect(idsOf(out)).toEqual([[startOfTextId, ...tokenizer.encode("a red apple"), endOfTextId]]);
    expect(tokenizer.vocabSize).toBeLessThan((await ClipTokenizer.published()).vocabSize);
  });

  it.skipIf(sharedMissing)(`gives the recorded ids of every plain case${sharedMissing}`, async () => {
    const path = `${sharedFolder}fixtures/tokenizer/cases.json`;
    const parsed = JSON.parse(readFileSync(path, "utf8")) as { cases?: unknown };
    const all = (Array.isArray(parsed) ? parsed : parsed.cases) as { text: string; ftfy: boolean; ids?: number[] }[];
    const cases = all.filter(({ ids }) => ids);
    expect(cases.length).toBeGreaterThan(300);
    const { out } = await call(["tokenize", "--json", "--", ...cases.map(({ text }) => text)]);
    expect(idsOf(out)).toEqual(cases.map(({ ids }) => [49406, ...ids!, 49407]));
  });
});

describe("clip-ts preprocess", () => {
  async function preprocess(...args: string[]) {
    const out = join(root, "out.safetensors");
    const called = await call(["preprocess", file, out, ...args]);
    expect(called).toMatchObject({ code: 0, out: "" });
    const { tensors } = await openSafetensors(out);
    const [pixels, pixelValues] = [tensors.get("pixels")!, tensors.get("pixelValues")!];
    expect([tensors.size, pixels.dtype, pixelValues.dtype]).toEqual([2, "U8", "F32"]);
    return { pixels: await readIntegers(pixels), pixelValues: await readFloats(pixelValues) };
  }

  it.each([
    [[], clipPreprocess],
    [["--image-size", "48"], { ...clipPreprocess, imageSize: 48 }],
    [["--model", model], { imageSize: 32, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], resample: "bilinear" }],
  ] as const)("writes pixels and pixelValues with the constants that %j mean", async (args, config) => {
    const { pixels, pixelValues } = await preprocess(...args);
    const wanted = preprocessImage(await decodeImage(file), config);
    expect(pixels.shape).toEqual([config.imageSize, config.imageSize, 3]);
    expect(pixels.data).toEqual(Int32Array.from(wanted.pixels));
    expect(pixelValues.shape).toEqual([3, config.imageSize, config.imageSize]);
    expect(pixelValues.data).toEqual(wanted.pixelValues);
  });

  it("turns an image as its EXIF data say unless they are to be ignored", async () => {
    const read = async (name: string, orientation: string) => {
      const image = new URL(`../../fixtures/preprocess/${name}`, import.meta.url).pathname;
      const out = join(root, "turned.safetensors");
      await call(["preprocess", image, out, "--image-size", "16", "--orientation", orientation]);
      return (await readIntegers((await openSafetensors(out)).tensors.get("pixels")!)).data;
    };
    expect(await read("rotated.jpg", "apply")).not.toEqual(await read("rotated.jpg", "ignore"));
    expect(await read("upright.jpg", "apply")).toEqual(await read("upright.jpg", "ignore"));
  });
});
