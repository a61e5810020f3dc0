import { join } from "node:path";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { concatenate, float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { dot } from "../../model/embedding/encoder.ts";
import { softmax } from "../../model/embedding/logits.ts";
import { forward, type ForwardInputs } from "../../model/embedding/forward.ts";
import { inspectModel } from "../../model/pretrained/inspect.ts";
import { readModel, readTokenizer, type StoredModel } from "../../model/pretrained/model-folder.ts";
import { type ReadModelOptions } from "../../model/pretrained/model-files.ts";
import { resolveModel } from "../../model/hub/resolve.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import { largestDifference, relativeError } from "./compare.ts";
import {
  type KnownNumbers,
  type KnownOutput,
  knownOutputs,
  type KnownWeights,
  type Quantity,
} from "./known-outputs.ts";
import { readNpy } from "../../inputs/data/npy.ts";
import type { Comparison, ParityCase } from "./parity-case.ts";

export interface KnownCasesOptions extends Pick<ReadModelOptions, "config" | "activation"> {
  /** A published name; or a folder or file, assumed to hold the published weights of its architecture. Default: all models. */
  readonly model?: string | undefined;
}

/**
 * Cases with known outputs of published models: one per cached copy of the weights, or a skipped one that tells how to fetch
 * them. Nothing is fetched.
 *
 * @throws {ClipError} `CLIP_USAGE` if no outputs of the model are known; for a path see `readModel`.
 */
export async function knownCases(options: KnownCasesOptions = {}): Promise<ParityCase[]> {
  const { model, ...reading } = options;
  const copies = model !== undefined && (await exists(model)) ? [await copyAt(model, reading)] : await cached(options);
  return copies.flatMap((copy) =>
    knownOutputs.filter(({ weights }) => weights === copy.weights).map((output) => knownCase(output, copy, reading)),
  );
}

/** A copy of published weights, by name or path. */
interface Copy {
  readonly weights: KnownWeights;
  readonly name: string;
  /** Local path, if cached. */
  readonly path: string | undefined;
}

const allWeights = [...new Set(knownOutputs.map(({ weights }) => weights))];

async function copyAt(path: string, options: ReadModelOptions): Promise<Copy> {
  const { architectures } = await inspectModel(path, options);
  const weights = allWeights.find(({ architecture }) => architecture && architectures.includes(architecture));
  if (weights) return { weights, name: path, path };
  throw nothingKnown(`for the architecture of ${path}`);
}

async function cached({ model, config, activation }: KnownCasesOptions): Promise<Copy[]> {
  if (config !== undefined || activation !== undefined)
    throw new ClipError("CLIP_USAGE", "--config and --activation are for a weight file; name it with --model");
  const copies: Copy[] = [];
  for (const weights of allWeights) {
    const names = weights.names.filter((name) => model === undefined || name === model);
    const named = await Promise.all(names.map(async (name) => ({ weights, name, path: await inCache(name) })));
    const found = named.filter(({ path }) => path !== undefined);
    copies.push(...(found.length > 0 ? found : named.slice(0, 1)));
  }
  if (copies.length === 0) throw nothingKnown(`for ${model}, and no such path exists`);
  return copies;
}

function nothingKnown(what: string): ClipError {
  const known = allWeights.flatMap(({ names }) => names).join(", ");
  return new ClipError("CLIP_USAGE", `no outputs are known ${what}; models with known outputs: ${known}`);
}

async function inCache(name: string): Promise<string | undefined> {
  return resolveModel(name, { offline: true }).catch((error: unknown) => {
    if (error instanceof ClipError && error.code === "CLIP_DOWNLOAD") return undefined;
    throw error;
  });
}

function knownCase(output: KnownOutput, { name, path }: Copy, options: ReadModelOptions): ParityCase {
  const about = { name: `${name}: ${output.name}`, model: name, source: output.source };
  if (path === undefined)
    return {
      ...about,
      skipped: `the weights of ${name} are not in the cache; clip-ts models fetch ${name} fetches them`,
    };
  const paths = (output.images ?? []).filter((image) => typeof image === "string");
  const arrays = output.numbers.flatMap((numbers) => ("file" in numbers ? [numbers.file] : []));
  return {
    ...about,
    needs: () => Promise.resolve([...paths, ...arrays]),
    compare: async (data) => compareKnownOutput(output, await readModel(path, options), data),
  };
}

/** Compares a model's outputs with the known ones. */
export async function compareKnownOutput(output: KnownOutput, model: StoredModel, data: string): Promise<Comparison[]> {
  const outputs = await forward(model, await readInputs(output, model, data));
  const comparisons: Comparison[] = [];
  for (const numbers of output.numbers) comparisons.push(await compareNumbers(numbers, outputs, model, data));
  return comparisons;
}

async function readInputs(output: KnownOutput, model: StoredModel, data: string): Promise<ForwardInputs> {
  const { images, texts } = output;
  const { imageSize } = model.preprocess;
  const pixels: Float32Array[] = [];
  for (const image of images ?? []) pixels.push(await readPixelValues(image, output, model, data));
  return {
    pixelValues: images && float32(concatenate(pixels), [images.length, 3, imageSize, imageSize]),
    inputIds: texts && (await readIds(texts, model)),
  };
}

async function readPixelValues(
  image: string | number,
  { opaque }: KnownOutput,
  { preprocess }: StoredModel,
  data: string,
): Promise<Float32Array> {
  if (typeof image === "number") return new Float32Array(3 * preprocess.imageSize ** 2).fill(image);
  const decoded = await decodeImage(join(data, image), { orientation: "ignore" });
  return preprocessImage(opaque ? { ...decoded, hasAlpha: false } : decoded, preprocess).pixelValues;
}

async function readIds(texts: NonNullable<KnownOutput["texts"]>, model: StoredModel): Promise<TensorData<"int32">> {
  const sentences = texts.filter((text) => typeof text === "string");
  if (sentences.length === 0) return int32(texts.flat() as number[], [texts.length, texts[0]!.length]);
  const { contextLength } = model.config.text;
  const tokenizer = await readTokenizer(model);
  return int32(tokenizer.tokenize(sentences, { contextLength }).inputIds, [texts.length, contextLength]);
}

async function compareNumbers(
  numbers: KnownNumbers,
  outputs: ReadonlyMap<string, TensorData>,
  { config }: StoredModel,
  data: string,
): Promise<Comparison> {
  const { of, tolerance } = numbers;
  const rowsOf = (name: string) => rows(outputs.get(name)!);
  if ("file" in numbers) {
    const met = rowsOf(of);
    const wanted = rows(await readNpy(join(data, numbers.file)));
    const errors = wanted.map((row, i) => relativeError(met[i] ?? [], row));
    return { compared: `${of} of ${wanted.length}, relative L2`, delta: Math.max(...errors), tolerance };
  }
  const { values } = numbers;
  const met = quantities[numbers.of](rowsOf, { count: values.length, sigmoid: config.score === "sigmoid" });
  return { compared: `${of}, largest difference`, delta: largestDifference(met, values), tolerance };
}

/** How many first or last values are compared, and whether probabilities are sigmoids. */
type QuantityOptions = Readonly<{ count: number; sigmoid: boolean }>;
type Compute = (rowsOf: (name: string) => readonly Float32Array[], options: QuantityOptions) => readonly number[];

/** Computes each quantity from the outputs of `forward`, in row-major order. */
const quantities: Readonly<Record<Quantity, Compute>> = {
  probabilities: (rowsOf, { sigmoid }) => rowsOf("logitsPerImage").flatMap(sigmoid ? sigmoids : softmax),
  logits: (rowsOf) => rowsOf("logitsPerImage").flatMap((row) => [...row]),
  cosines: (rowsOf) => {
    const images = rowsOf("imageEmbeds");
    return rowsOf("textEmbeds").flatMap((text) => images.map((image) => dot(text, image)));
  },
  "cosines with the first image": (rowsOf) => {
    const [first, ...others] = rowsOf("imageEmbeds");
    return others.map((other) => dot(first!, other));
  },
  "sums of imageFeatures": (rowsOf) => rowsOf("imageFeatures").map(sum),
  "first of imageFeatures": (rowsOf, { count }) => [...rowsOf("imageFeatures")[0]!.subarray(0, count)],
  "sums of textFeatures": (rowsOf) => rowsOf("textFeatures").map(sum),
  "first of textFeatures": (rowsOf, { count }) => [...rowsOf("textFeatures")[0]!.subarray(0, count)],
  "last of textFeatures": (rowsOf, { count }) => [...rowsOf("textFeatures")[0]!.subarray(-count)],
};

const sigmoids = (logits: Float32Array) => Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0);

function rows({ data, shape }: TensorData): Float32Array[] {
  const [count, size] = shape as [number, number];
  return Array.from({ length: count }, (_, i) => (data as Float32Array).subarray(i * size, (i + 1) * size));
}
