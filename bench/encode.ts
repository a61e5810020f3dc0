/**
 * Images and captions to embeddings with ViT-B/32 (random weights), in turn with transformers.js on the same weights:
 * `npx tsx bench/encode.ts [--rounds 5] [--json]`.
 *
 * Photos and captions are those of `../shared/data/coco`. Both sides take turns in one process, with a thread a core for
 * each model; peak memory is that of a process of its own. The weights are made once and written as ONNX for the peer by `convertModel`.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { convertModel } from "../src/model/pretrained/convert.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { saveModel } from "../src/model/pretrained/save-model.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { storedParameters } from "../src/model/checkpoints/load.ts";
import { float32 } from "../src/core/tensor-data.ts";
import { input } from "../src/engine/graph/tensor.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { encodeImage } from "../src/model/towers/clip.ts";
import { initializeParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { Session } from "../src/engine/runtime/session.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { loadClip } from "../src/model/zero-shot/clip.ts";

const coco = fileURLToPath(new URL("../../shared/data/coco", import.meta.url));
const images = 96;
const batchSize = 16;
const captions = 512;

/** One pass over a task's items; what it does at once is not part of the task, what it gives back is. */
type Pass = () => () => Promise<void>;

/** A side's passes by their names: captions have two on the side of transformers.js. */
interface Side extends AsyncDisposable {
  readonly passes: Readonly<Record<string, Pass>>;
}

/** Rates of a task, in turn. */
interface Paired {
  readonly ours: readonly number[];
  readonly theirs: Readonly<Record<string, readonly number[]>>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    child: { type: "string" },
  },
});

const tasks = { images: "image files → embeddings", model: "the model alone", captions: "captions → embeddings" };
type Task = keyof typeof tasks;
const counts: Readonly<Record<Task, number>> = { images, model: images, captions };
const sides = { ours: openOurs, theirs: openTheirs };
type SideName = keyof typeof sides;

if (!existsSync(coco)) console.error("bench/encode.ts needs ../shared/data/coco, which is absent");
else if (values.child === "memory")
  console.log(JSON.stringify(await peakBytes(...(positionals as [Task, SideName, string]))));
else if (values.child === "rates") console.log(JSON.stringify(await pairedRates(...(positionals as [Task, string]))));
else await compare();

/** The most that this process, which does one side's task, ever holds. */
async function peakBytes(task: Task, side: SideName, folder: string): Promise<number> {
  await using opened = await sides[side](task, folder);
  for (let i = 0; i < 2; i++) for (const pass of Object.values(opened.passes)) await pass()();
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
}

/** Both sides' rates in turn, so that each pair meets the same clock and the same neighbours; a first pass of each is not counted. */
async function pairedRates(task: Task, folder: string): Promise<Paired> {
  await using ours = await openOurs(task, folder);
  await using theirs = await openTheirs(task, folder);
  const rate = async (pass: Pass) => {
    const run = pass();
    const start = performance.now();
    await run();
    return (1000 * counts[task]) / (performance.now() - start);
  };
  const met = {
    ours: [] as number[],
    theirs: Object.fromEntries(Object.keys(theirs.passes).map((name) => [name, [] as number[]])),
  };
  for (let round = 0; round <= Number(values.rounds); round++) {
    const mine = await rate(ours.passes[task]!);
    if (round > 0) met.ours.push(mine);
    for (const [name, pass] of Object.entries(theirs.passes)) {
      const peer = await rate(pass);
      if (round > 0) met.theirs[name]!.push(peer);
    }
  }
  return met;
}

async function openOurs(task: Task, folder: string): Promise<Side> {
  if (task === "model") {
    const { config, parameters } = await readModel(join(folder, "own"));
    const pixelValues = input("pixelValues", ["images", 3, 224, 224]);
    const session = await Session.compile({
      imageEmbeds: encodeImage(storedParameters(clipParameters(config), parameters), config, pixelValues),
    });
    const model = () => {
      // Given away by each pass, as the encoder gives away what it has decoded.
      const made = Array.from({ length: images / batchSize }, () =>
        float32(new Float32Array(batchSize * 3 * 224 * 224).fill(0.5), [batchSize, 3, 224, 224]),
      );
      return async () => {
        for (const batch of made) await session.run({ pixelValues: batch }, { move: true });
      };
    };
    return { passes: { model }, [Symbol.asyncDispose]: () => session[Symbol.asyncDispose]() };
  }
  const clip = await loadClip(join(folder, "own"));
  const embeds = {
    images: () => clip.encodeImages(photos(), { batchSize }),
    captions: () => clip.encodeTexts(sentences()),
  };
  const pass = () => async () => {
    for await (const embed of embeds[task]()) void embed;
  };
  return { passes: { [task]: pass }, [Symbol.asyncDispose]: () => clip[Symbol.asyncDispose]() };
}

async function openTheirs(task: Task, folder: string): Promise<Side> {
  const library = await import("@huggingface/transformers");
  const { AutoProcessor, AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection, env, RawImage } =
    library;
  Object.assign(env, { allowRemoteModels: false, localModelPath: `${folder}/` });
  const options = { dtype: "fp32", session_options: { intraOpNumThreads: availableParallelism() } } as const;
  if (task === "captions") {
    const tokenizer = await AutoTokenizer.from_pretrained("peer");
    const model = await CLIPTextModelWithProjection.from_pretrained("peer", options);
    const all = (padding: true | "max_length") => async () => {
      const texts = sentences();
      for (let i = 0; i < texts.length; i += 64) {
        await model(tokenizer(texts.slice(i, i + 64), { padding, truncation: true, max_length: 77 }));
      }
    };
    const passes = { captions: () => all(true), maxLength: () => all("max_length") };
    return { passes, [Symbol.asyncDispose]: async () => void (await model.dispose()) };
  }
  const processor = await AutoProcessor.from_pretrained("peer");
  const model = await CLIPVisionModelWithProjection.from_pretrained("peer", options);
  const files = photos();
  const read = async (start: number) =>
    processor(
      await Promise.all(files.slice(start, start + batchSize).map((file) => RawImage.read(file))),
    ) as Promise<object>;
  const fixed = task === "model" ? await read(0) : undefined;
  const all = () => async () => {
    for (let i = 0; i < files.length; i += batchSize) await model(fixed ?? (await read(i)));
  };
  return { passes: { [task]: all }, [Symbol.asyncDispose]: async () => void (await model.dispose()) };
}

function photos(): string[] {
  const files = readdirSync(join(coco, "images")).filter((file) => file.endsWith(".jpg"));
  return Array.from({ length: images }, (_, i) => join(coco, "images", files[i % files.length]!));
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
    const self = ["--import", "tsx", fileURLToPath(import.meta.url), "--rounds", values.rounds];
    const child = async <T>(kind: string, ...args: string[]) => {
      const { stdout } = await run(process.execPath, [...self, "--child", kind, ...args, folder], {
        maxBuffer: 2 ** 24,
      });
      return JSON.parse(stdout) as T;
    };
    const results: Result[] = [];
    for (const task of Object.keys(tasks) as Task[]) {
      const rates = await child<Paired>("rates", task);
      const memory = {
        ours: await child<number>("memory", task, "ours"),
        theirs: await child<number>("memory", task, "theirs"),
      };
      results.push({ task, rates, memory });
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

  /** Seconds until a process that names one image has ended. */
  async function startOf(args: readonly string[]): Promise<number> {
    const start = performance.now();
    await run(process.execPath, args);
    return (performance.now() - start) / 1000;
  }
}

async function makeModels(folder: string): Promise<void> {
  const config = clipConfigs["ViT-B-32-quickgelu"];
  const own = join(folder, "own");
  const parameters = initializeParameters(clipParameters(config), 1);
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

interface Result {
  readonly task: Task;
  readonly rates: Paired;
  readonly memory: Readonly<Record<SideName, number>>;
}

function print(results: readonly Result[], starts: Readonly<Record<SideName, readonly number[]>>): void {
  const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
  const rows = results.flatMap(({ rates, memory }) =>
    Object.entries(rates.theirs).map(([what, theirs]) => {
      const ratios = rates.ours.map((rate, i) => rate / theirs[i]!).sort((a, b) => a - b);
      return { what, ours: median(rates.ours), theirs: median(theirs), ratio: median(ratios), ratios, memory };
    }),
  );
  const ratios = starts.ours.map((seconds, i) => seconds / starts.theirs[i]!);
  const start = { ours: median(starts.ours), theirs: median(starts.theirs), ratio: median(ratios) };
  if (values.json) return console.log(JSON.stringify({ machine, rows, start }));
  console.log(`ViT-B/32, ${basename(dirname(coco))}/coco, batches of ${batchSize}; medians of pairs; ${machine}`);
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  for (const { what, ours, theirs, ratio, ratios, memory } of rows) {
    const name = what === "maxLength" ? `${tasks.captions}, its max_length` : tasks[what as Task];
    const spread = `${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)}`;
    console.log(
      `${name}: ${ours.toFixed(1)} a second (${mebibytes(memory.ours)}), transformers.js ${theirs.toFixed(1)} ` +
        `(${mebibytes(memory.theirs)}): ${ratio.toFixed(2)} (${spread})`,
    );
  }
  console.log(
    `start to first label: ${start.ours.toFixed(2)} s, transformers.js ${start.theirs.toFixed(2)} s: ${start.ratio.toFixed(2)}`,
  );
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}
