/**
 * Captions per second on one core: `npx tsx bench/tokenize.ts [--json]`.
 *
 * The captions of COCO 2017 validation from ../shared, else made-up ones; all are distinct. `cold` is a tokenizer that
 * has seen no word yet; `warm` the same captions again, the words known, as in training.
 */
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { Random } from "../src/core/random.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { trainBpe } from "../src/inputs/text/train-bpe.ts";

const runs = 15;
const trainVocabSize = 8192;

const coco = new URL("../../shared/data/coco/captions_val2017.json", import.meta.url);

function readCaptions(): { source: string; captions: string[] } {
  if (existsSync(coco)) {
    const { annotations } = JSON.parse(readFileSync(coco, "utf8")) as { annotations: { caption: string }[] };
    return { source: "COCO 2017 validation", captions: [...new Set(annotations.map(({ caption }) => caption))] };
  }
  const random = new Random(1);
  const word = () => Array.from({ length: 2 + random.integer(7) }, () => "etaoinshrdlu"[random.integer(12)]).join("");
  const words = Array.from({ length: 8000 }, word);
  const caption = () =>
    `A ${Array.from({ length: 9 }, () => words[Math.floor(8000 * random.uniform() ** 3)]).join(" ")}.`;
  return { source: "made up, as ../shared is not there", captions: Array.from({ length: 25_000 }, caption) };
}

/** What runs took, in milliseconds; making what each needs is not timed. */
function time<Needed>(count: number, prepare: () => Needed, run: (needed: Needed) => void): number[] {
  return Array.from({ length: count }, () => {
    const needed = prepare();
    const start = performance.now();
    run(needed);
    return performance.now() - start;
  });
}

const { source, captions } = readCaptions();
const perSecond = (ms: number) => Math.round((1000 * captions.length) / ms);
const summarise = (times: readonly number[], unit: (ms: number) => number) => {
  const figures = times.map(unit).sort((a, b) => a - b);
  return { min: figures[0]!, median: figures[Math.floor(figures.length / 2)]!, max: figures.at(-1)! };
};

const published = await ClipTokenizer.published();
const { merges } = published;
const tokenize = (tokenizer: ClipTokenizer) => void tokenizer.tokenize(captions);
const cold = time(runs, () => new ClipTokenizer(merges), tokenize);
tokenize(published);
const warm = time(runs, () => published, tokenize);
const loading = time(
  runs,
  () => merges,
  (list) => void new ClipTokenizer(list),
);
const training = time(
  3,
  () => captions,
  (texts) => void trainBpe(texts, trainVocabSize),
);

const report = {
  captions: { source, count: captions.length, meanLength: captions.join("").length / captions.length },
  captionsPerSecond: { warm: summarise(warm, perSecond), cold: summarise(cold, perSecond) },
  milliseconds: { load: summarise(loading, Math.round), trainBpe: summarise(training, Math.round) },
  runs,
  machine: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
  versions: { node: process.version, v8: process.versions.v8 },
};
if (process.argv.includes("--json")) console.log(JSON.stringify(report, null, 2));
else {
  const line = (name: string, { min, median, max }: ReturnType<typeof summarise>) =>
    console.log(name.padEnd(44), [min, median, max].map((figure) => figure.toLocaleString("en").padStart(10)).join(""));
  console.log(
    `${captions.length.toLocaleString("en")} captions (${source}), ${report.captions.meanLength.toFixed(0)} characters each`,
  );
  console.log(`${report.machine}, Node ${process.version}; ${runs} runs\n`);
  console.log("".padEnd(44), ["min", "median", "max"].map((name) => name.padStart(10)).join(""));
  line("tokenize, words known (captions/s)", report.captionsPerSecond.warm);
  line("tokenize, every word new (captions/s)", report.captionsPerSecond.cold);
  line("load the 49,408 tokens (ms)", report.milliseconds.load);
  line(`trainBpe to ${trainVocabSize} tokens (ms; 3 runs)`, report.milliseconds.trainBpe);
}
