/**
 * Memory, speed and cosines of weights as they are, in 8 and in 4 bits: `npx tsx bench/quantized.ts [--rounds 3] [--json]`.
 *
 * Memory and speed with ViT-B/32 (random weights), each measurement in a process of its own, in turn. Speed is the processor's time on one
 * thread, which other work on the machine changes least. Cosines with those of the weights as they are: pictograms, on its
 * sample images and their names.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { quantizedParameters } from "../src/model/checkpoints/quantize.ts";
import { towerMatrices } from "../src/model/towers/matrices.ts";
import { storedParameters } from "../src/model/checkpoints/load.ts";
import { float32, int32 } from "../src/core/tensor-data.ts";
import { collect, dot } from "../src/model/embedding/encoder.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { saveModel } from "../src/model/pretrained/save-model.ts";
import { input, type Tensor } from "../src/engine/graph/tensor.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { type RasterImage } from "../src/inputs/image/raster-image.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { encodeImage, encodeText } from "../src/model/towers/clip.ts";
import { initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { buildModel } from "../src/engine/onnx/build.ts";
import { type NamedTensors, OrtSession } from "../src/engine/runtime/ort-session.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { type ClipModel, loadClip } from "../src/model/zero-shot/clip.ts";

const dtypes = ["f32", "q8", "q4"] as const;
type Name = (typeof dtypes)[number];

interface Measured {
  /** Until an image and a text are encoded, from the files on. */
  readonly startMs: number;
  /** More than before the model was loaded: at rest, and at most on the way there. */
  readonly restingBytes: number;
  readonly peakBytes: number;
  /** Of one image and one text in batches of 16, the texts of 14 tokens. */
  readonly imageCpuMs: number;
  readonly textCpuMs: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    child: { type: "string" },
    folder: { type: "string" },
  },
});

if (values.child) console.log(JSON.stringify(await measure(values.child as Name, values.folder!)));
else await compare();

async function measure(dtype: Name, folder: string): Promise<Measured> {
  const pixels = new Uint8Array(224 * 224 * 4).fill(99);
  const image: RasterImage = { width: 224, height: 224, pixels, hasAlpha: false, nearest: false };
  const sentence = "a photo of a small dog that runs after a ball in the park";
  const before = process.memoryUsage.rss();
  const start = performance.now();
  const clip = await load(dtype, folder);
  await collect(clip.encodeImages([image]));
  await collect(clip.encodeTexts([sentence]));
  const startMs = performance.now() - start;
  const peakBytes = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024 - before;
  globalThis.gc!();
  const restingBytes = process.memoryUsage.rss() - before;
  await clip.release();
  return { startMs, restingBytes, peakBytes, ...(await cpuTimes(dtype, folder)) };
}

async function cpuTimes(dtype: Name, folder: string): Promise<Pick<Measured, "imageCpuMs" | "textCpuMs">> {
  const { config, parameters } = await readModel(folder);
  const record = (tower: "vision" | "text") =>
    dtype === "f32"
      ? storedParameters(clipParameters(config), parameters)
      : quantizedParameters(clipParameters(config), parameters, towerMatrices(config, tower), dtype);
  const [pixelValues, inputIds] = [input("x", [16, 3, 224, 224]), input("ids", [16, 14], "int32")];
  const imageEmbeds = encodeImage(await record("vision"), config, pixelValues);
  const endOfText = input("end", [16], "int32");
  const textEmbeds = encodeText(await record("text"), config, { inputIds, endOfText });
  return {
    imageCpuMs: await cpuMs(imageEmbeds, {
      x: float32(new Float32Array(16 * 3 * 224 * 224).fill(0.3), [16, 3, 224, 224]),
    }),
    textCpuMs: await cpuMs(textEmbeds, {
      ids: int32(new Int32Array(16 * 14).fill(400), [16, 14]),
      end: int32(new Int32Array(16).fill(13), [16]),
    }),
  };
}

/** Processor time for one of 16, the median of five runs behind the first. */
async function cpuMs(y: Tensor, feeds: NamedTensors): Promise<number> {
  const session = await OrtSession.create(buildModel({ y }), { threads: 1 });
  const times: number[] = [];
  for (let run = 0; run < 6; run++) {
    const start = process.cpuUsage();
    await session.run(feeds);
    const { user, system } = process.cpuUsage(start);
    if (run > 0) times.push((user + system) / 1000 / 16);
  }
  await session.release();
  return median(times);
}

function load(dtype: Name, folder?: string): Promise<ClipModel> {
  return loadClip(folder, dtype === "f32" ? {} : { dtype });
}

async function compare(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "clip-ts-quantized-"));
  try {
    const config = clipConfigs["ViT-B-32-quickgelu"];
    const parameters = initializeParameters(clipParameters(config), 1);
    await saveModel(folder, {
      config,
      preprocess: clipPreprocess,
      tokenizer: await ClipTokenizer.published(),
      parameters,
    });
    const results = new Map<Name, Measured[]>(dtypes.map((dtype) => [dtype, []]));
    const self = ["--expose-gc", "--import", "tsx", fileURLToPath(import.meta.url)];
    for (let round = 0; round < Number(values.rounds); round++)
      for (const dtype of dtypes) {
        const child = await promisify(execFile)(process.execPath, [...self, "--child", dtype, "--folder", folder]);
        results.get(dtype)!.push(JSON.parse(child.stdout) as Measured);
      }
    print(results, await cosines());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Mean and least cosine of pictograms in few bits with itself as it is. */
async function cosines(): Promise<Record<string, string>> {
  const samples = fileURLToPath(new URL("../assets/samples", import.meta.url));
  const files = readdirSync(samples).filter((file) => /\.(png|jpe?g|webp)$/.test(file));
  const names = files.map((file) => basename(file, extname(file)).replaceAll("-", " "));
  const embed = async (dtype: Name) => {
    await using clip = await load(dtype);
    const images = await collect(clip.encodeImages(files.map((file) => join(samples, file))));
    return { images, texts: await collect(clip.encodeTexts(names)) };
  };
  const exact = await embed("f32");
  const shown: Record<string, string> = {};
  for (const dtype of ["q8", "q4"] as const) {
    const rounded = await embed(dtype);
    for (const what of ["images", "texts"] as const) {
      const all = exact[what].map((vector, i) => dot(vector, rounded[what][i]!));
      const mean = all.reduce((a, b) => a + b, 0) / all.length;
      shown[`${dtype}, ${all.length} ${what}`] = `mean ${mean.toFixed(5)}, least ${Math.min(...all).toFixed(5)}`;
    }
  }
  return shown;
}

function print(results: ReadonlyMap<Name, readonly Measured[]>, shown: Readonly<Record<string, string>>): void {
  const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
  const rows = Array.from(results, ([dtype, measured]) => {
    const of = (key: keyof Measured) => median(measured.map((one) => one[key]));
    const ratio = (key: keyof Measured) => median(measured.map((one, i) => one[key] / results.get("f32")![i]![key]));
    return {
      dtype,
      ...{ startMs: of("startMs"), restingBytes: of("restingBytes"), peakBytes: of("peakBytes") },
      ...{ images: ratio("imageCpuMs"), texts: ratio("textCpuMs") },
      ...{ imageCpuMs: of("imageCpuMs"), textCpuMs: of("textCpuMs") },
    };
  });
  if (values.json) return console.log(JSON.stringify({ machine, rows, cosines: shown }));
  console.log(`ViT-B/32, random weights, medians; ${machine}`);
  for (const { dtype, startMs, restingBytes, peakBytes, ...rates } of rows) {
    const [resting, peak] = [restingBytes, peakBytes].map((bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`);
    console.log(
      `${dtype}: ${resting} at rest, ${peak} at most until the first answer, after ${(startMs / 1000).toFixed(2)} s; ` +
        `${rates.imageCpuMs.toFixed(1)} ms of one core for an image (${rates.images.toFixed(2)} of f32's), ` +
        `${rates.textCpuMs.toFixed(1)} ms for a text (${rates.texts.toFixed(2)})`,
    );
  }
  for (const [what, cosine] of Object.entries(shown)) console.log(`pictograms, ${what}: cosine ${cosine}`);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}
