/**
 * Pictures and captions to embeddings with ViT-B/32 (random weights), in turn with transformers.js on the same weights:
 * `npx tsx bench/encode.ts [--rounds 3] [--json]`.
 *
 * Photos and captions are those of `../shared/data/coco`. Each measurement is a fresh process with 2 threads for the model,
 * so that peak memory is its own. The weights are made once and written as ONNX for the peer by `convertModel`.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { convertModel, readModel, saveModel } from "../src/embedding/index.ts";
import { clipPreprocess } from "../src/image/index.ts";
import { storedParameters } from "../src/checkpoints/index.ts";
import { float32 } from "../src/core/tensor-data.ts";
import { input } from "../src/graph/tensor.ts";
import { clipConfigs, encodeImage, initializeParameters } from "../src/models/index.ts";
import { Session } from "../src/runtime/session.ts";
import { ClipTokenizer } from "../src/text/index.ts";
import { loadClip } from "../src/zero-shot/index.ts";

const coco = fileURLToPath(new URL("../../shared/data/coco", import.meta.url));
const pictures = 96;
const batchSize = 16;
const captions = 512;

interface Measured {
  readonly perSecond: Readonly<Record<string, number>>;
  readonly peakBytes: Readonly<Record<string, number>>;
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    child: { type: "string" },
    folder: { type: "string" },
  },
});

const tasks = { pictures: "image files → embeddings", model: "the model alone", captions: "captions → embeddings" };

if (!existsSync(coco)) console.error("bench/encode.ts needs ../shared/data/coco, which is absent");
else if (values.child) console.log(JSON.stringify(await measure(values.child, values.folder!)));
else await compare();

/** One side's one task, in a process of its own. */
async function measure(task: string, folder: string): Promise<Measured> {
  const [side, what] = task.split(":") as [string, string];
  const perSecond = side === "ours" ? await ourRates(what, folder) : await theirRates(what, folder);
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
  return { perSecond, peakBytes: { [what]: peak } };
}

async function ourRates(what: string, folder: string): Promise<Record<string, number>> {
  if (what === "model") {
    const { config, parameters } = await readModel(join(folder, "own"));
    const pixelValues = input("pixelValues", ["images", 3, 224, 224]);
    const imageFeatures = encodeImage(storedParameters(config, parameters), config, pixelValues);
    await using session = await Session.compile({ imageFeatures });
    // Given away as the encoder does it, so that neither side copies what it made before.
    const made = Array.from({ length: (2 * pictures) / batchSize }, () =>
      float32(new Float32Array(batchSize * 3 * 224 * 224).fill(0.5), [batchSize, 3, 224, 224]),
    );
    const all = async () => {
      for (let i = 0; i < pictures; i += batchSize) await session.run({ pixelValues: made.pop()! }, { move: true });
    };
    return { model: await rate(pictures, all) };
  }
  await using clip = await loadClip(join(folder, "own"));
  const encode = async (items: AsyncIterable<Float32Array>) => {
    for await (const embed of items) void embed;
  };
  if (what === "pictures") {
    return { pictures: await rate(pictures, () => encode(clip.encodeImages(photos(), { batchSize }))) };
  }
  return { captions: await rate(captions, () => encode(clip.encodeTexts(sentences()))) };
}

async function theirRates(what: string, folder: string): Promise<Record<string, number>> {
  const library = await import("@huggingface/transformers");
  const { AutoProcessor, AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection, env, RawImage } =
    library;
  Object.assign(env, { allowRemoteModels: false, localModelPath: `${folder}/` });
  const options = { dtype: "fp32", session_options: { intraOpNumThreads: availableParallelism() } } as const;
  if (what === "captions") {
    const tokenizer = await AutoTokenizer.from_pretrained("peer");
    const model = await CLIPTextModelWithProjection.from_pretrained("peer", options);
    const all = async (padding: true | "max_length") => {
      const texts = sentences();
      for (let i = 0; i < texts.length; i += 64) {
        await model(tokenizer(texts.slice(i, i + 64), { padding, truncation: true, max_length: 77 }));
      }
    };
    return {
      captions: await rate(captions, () => all(true)),
      maxLength: await rate(captions, () => all("max_length")),
    };
  }
  const processor = await AutoProcessor.from_pretrained("peer");
  const model = await CLIPVisionModelWithProjection.from_pretrained("peer", options);
  const files = photos();
  const read = async (start: number) =>
    processor(
      await Promise.all(files.slice(start, start + batchSize).map((file) => RawImage.read(file))),
    ) as Promise<object>;
  const fixed = what === "model" ? await read(0) : undefined;
  const all = async () => {
    for (let i = 0; i < files.length; i += batchSize) await model(fixed ?? (await read(i)));
  };
  return { [what]: await rate(pictures, all) };
}

/** Items a second, after one run that pays for what comes first. */
async function rate(items: number, run: () => Promise<void>): Promise<number> {
  await run();
  const start = performance.now();
  await run();
  return (1000 * items) / (performance.now() - start);
}

function photos(): string[] {
  const files = readdirSync(join(coco, "images")).filter((file) => file.endsWith(".jpg"));
  return Array.from({ length: pictures }, (_, i) => join(coco, "images", files[i % files.length]!));
}

function sentences(): string[] {
  const rows = readFileSync(join(coco, "captions.tsv"), "utf8").trim().split("\n").slice(1);
  const all = rows.flatMap((row) => row.split("\t").at(-1)!.split("|"));
  return Array.from({ length: captions }, (_, i) => all[i % all.length]!);
}

async function compare(): Promise<void> {
  const run = promisify(execFile);
  const folder = await mkdtemp(join(tmpdir(), "clip-ts-encode-"));
  try {
    await makeModels(folder);
    const self = ["--import", "tsx", fileURLToPath(import.meta.url)];
    const child = async (task: string) => {
      const args = [...self, "--child", task, "--folder", folder];
      return JSON.parse((await run(process.execPath, args, { maxBuffer: 2 ** 24 })).stdout) as Measured;
    };
    const results: Record<string, { ours: Measured[]; theirs: Measured[] }> = {};
    for (const what of Object.keys(tasks)) {
      const sides = { ours: [] as Measured[], theirs: [] as Measured[] };
      for (let round = 0; round < Number(values.rounds); round++) {
        sides.ours.push(await child(`ours:${what}`));
        sides.theirs.push(await child(`theirs:${what}`));
      }
      results[what] = sides;
    }
    const starts = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < Number(values.rounds); round++) {
      starts.ours.push(await startOf(ourStart(folder)));
      starts.theirs.push(await startOf(theirStart(folder)));
    }
    print(results, starts);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }

  /** Seconds until a process that names one picture has ended. */
  async function startOf(args: readonly string[]): Promise<number> {
    const start = performance.now();
    await run(process.execPath, args);
    return (performance.now() - start) / 1000;
  }
}

async function makeModels(folder: string): Promise<void> {
  const config = clipConfigs["ViT-B-32-quickgelu"];
  const own = join(folder, "own");
  const parameters = initializeParameters(config, 1);
  const tokenizer = await ClipTokenizer.published();
  await saveModel(own, { config, preprocess: clipPreprocess, tokenizer, parameters });
  await convertModel(await readModel(own), join(folder, "peer"), { to: "onnx" });
}

/** Both built, as users have them. */
function ourStart(folder: string): string[] {
  const bin = fileURLToPath(new URL("../bin/clip-ts.js", import.meta.url));
  return [bin, "classify", photos()[0]!, "--labels", "cat,dog,car", "--model", join(folder, "own"), "--json"];
}

function theirStart(folder: string): string[] {
  const program = `
    import { env, pipeline } from "@huggingface/transformers";
    Object.assign(env, { allowRemoteModels: false, localModelPath: ${JSON.stringify(`${folder}/`)} });
    const classify = await pipeline("zero-shot-image-classification", "peer", { dtype: "fp32" });
    console.log(JSON.stringify(await classify(${JSON.stringify(photos()[0])}, ["cat", "dog", "car"])));`;
  return ["--input-type=module", "-e", program];
}

function print(
  results: Readonly<Record<string, { ours: Measured[]; theirs: Measured[] }>>,
  starts: { readonly ours: readonly number[]; readonly theirs: readonly number[] },
): void {
  const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
  const rows = Object.entries(results).flatMap(([what, { ours, theirs }]) => {
    const against = what === "captions" ? [what, "maxLength"] : [what];
    return against.map((name) => {
      const mine = median(ours.map((side) => side.perSecond[what]!));
      const peer = median(theirs.map((side) => side.perSecond[name]!));
      const memory = [ours, theirs].map((sides) => Math.max(...sides.map((side) => side.peakBytes[what]!)));
      const ratio = median(ours.map((side, i) => side.perSecond[what]! / theirs[i]!.perSecond[name]!));
      return { what: name, ours: mine, theirs: peer, ratio, memory };
    });
  });
  const start = { ours: median(starts.ours), theirs: median(starts.theirs) };
  if (values.json) return console.log(JSON.stringify({ machine, rows, start }));
  console.log(`ViT-B/32, ${basename(dirname(coco))}/coco, batches of ${batchSize}; medians; ${machine}`);
  for (const { what, ours, theirs, ratio, memory } of rows) {
    const [mine, peer] = memory.map((bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`);
    const name = what === "maxLength" ? `${tasks.captions}, its max_length` : tasks[what as keyof typeof tasks];
    console.log(
      `${name}: ${ours.toFixed(1)} a second (${mine}), transformers.js ${theirs.toFixed(1)} (${peer}): ${ratio.toFixed(2)}`,
    );
  }
  const share = (start.ours / start.theirs).toFixed(2);
  console.log(
    `start to first label: ${start.ours.toFixed(2)} s, transformers.js ${start.theirs.toFixed(2)} s: ${share}`,
  );
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}
