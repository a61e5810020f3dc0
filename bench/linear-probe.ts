/**
 * The fit of a linear probe, multinomial logistic regression with an L2 penalty, of 10,000 unit vectors of 512 numbers in 10 classes,
 * in turn with Debian's scikit-learn on the same numbers: `npx tsx bench/linear-probe.ts [--rounds 5] [--json]`.
 *
 * Both have the vectors in memory and start from zeros; ours also puts them where ONNX Runtime has them. Without Debian's
 * python3-sklearn only our side runs, and a line says so.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { Random } from "../src/core/random.ts";
import { float32 } from "../src/core/tensor-data.ts";
import { type LabelledFeatures, LogisticRegression } from "../src/learning/evaluate/logistic-regression.ts";

const [count, width, classes] = [10_000, 512, 10];
/** 1/λ: that of OpenAI's example, and one that lets the head fit far closer. */
const strengths = [0.316, 100];
const install = "apt-get install python3-sklearn libopenblas0-pthread";

interface Fit {
  readonly seconds: number;
  readonly iterations: number;
  /** C Σ NLL + ½ ‖weight‖² */
  readonly objective: number;
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});

/** Vectors as image towers make them: one direction that all share, one for each class, and axes of unequal spread. */
function makeImages(): LabelledFeatures {
  const random = new Random(1);
  const normals = (length: number, scale: number) => Float32Array.from({ length }, () => scale * random.normal());
  const [shared, centres] = [normals(width, 3), normals(classes * width, 0.35)];
  const spread = normals(width, 0.7).map(Math.exp);
  const labels = Int32Array.from({ length: count }, () => random.integer(classes));
  const data = new Float32Array(count * width);
  labels.forEach((label, i) => {
    const row = data.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < width; j++) row[j] = shared[j]! + centres[label * width + j]! + spread[j]! * random.normal();
    const norm = Math.hypot(...row);
    row.forEach((value, j) => (row[j] = value / norm));
  });
  return { features: float32(data, [count, width]), labels };
}

async function ownFit(images: LabelledFeatures, c: number): Promise<Fit> {
  const start = performance.now();
  await using regression = await LogisticRegression.compile(images, classes);
  const { objective, iterations } = await regression.fit(1 / c);
  return { seconds: (performance.now() - start) / 1000, iterations, objective: c * objective };
}

/** A process that fits what it is asked for; undefined where there is none. */
async function startPeer(images: LabelledFeatures, folder: string) {
  const hasPeer = await promisify(execFile)("/usr/bin/python3", ["-c", "import sklearn"]).then(
    () => true,
    () => false,
  );
  if (!hasPeer) {
    console.error(`Debian's scikit-learn is missing, so only our side is measured; ${install}`);
    return undefined;
  }
  if (!(await realpath("/usr/lib/x86_64-linux-gnu/libblas.so.3")).includes("openblas"))
    throw new Error(`Debian's scikit-learn would run on the reference BLAS, which is no fair peer; ${install}`);
  const files = { features: join(folder, "features"), labels: join(folder, "labels") };
  await writeFile(files.features, images.features.data);
  await writeFile(files.labels, images.labels);
  const script = fileURLToPath(new URL("peers/logistic_regression.py", import.meta.url));
  const args = [script, "--features", files.features, "--labels", files.labels];
  const child = spawn("/usr/bin/python3", args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async fit(c: number): Promise<Fit & { readonly version: string }> {
      child.stdin.write(`${JSON.stringify({ C: c })}\n`);
      const { value } = (await lines.next()) as IteratorResult<string, undefined>;
      if (value === undefined) throw new Error("Debian's scikit-learn ended early");
      return JSON.parse(value) as Fit & { version: string };
    },
    end: () => child.stdin.end(),
  };
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

const folder = await mkdtemp(join(tmpdir(), "clip-ts-bench-"));
const images = makeImages();
const peer = await startPeer(images, folder);
await ownFit(images, strengths[0]!);
await peer?.fit(strengths[0]!);
const results = [];
let version: string | undefined;
for (const c of strengths) {
  const [ours, theirs, ratios]: [Fit[], Fit[], number[]] = [[], [], []];
  for (let round = 0; round < Number(values.rounds); round++) {
    const mine = await ownFit(images, c);
    ours.push(mine);
    if (!peer) continue;
    const its = await peer.fit(c);
    theirs.push(its);
    ratios.push(mine.seconds / its.seconds);
    version = its.version;
  }
  results.push({ c, ours, theirs, ratio: peer && median(ratios) });
}
peer?.end();
await rm(folder, { recursive: true });

const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
if (values.json) console.log(JSON.stringify({ machine, scikitLearn: version, count, width, classes, results }));
else {
  console.log(`${count} × ${width} in ${classes} classes; seconds min / median / max; ${machine}`);
  const show = (name: string, fits: readonly Fit[]) => {
    const times = fits.map(({ seconds }) => seconds).sort((a, b) => a - b);
    const shown = [times[0]!, median(times), times.at(-1)!].map((time) => time.toFixed(2)).join(" / ");
    console.log(`${name}: ${shown} s, ${fits[0]!.iterations} steps to ${fits[0]!.objective.toPrecision(9)}`);
  };
  for (const { c, ours, theirs, ratio } of results) {
    show(`C = ${c}  clip-ts`, ours);
    if (ratio === undefined) continue;
    show(`C = ${c}  scikit-learn ${version}`, theirs);
    console.log(`C = ${c}  ${ratio.toFixed(2)} of its time (at most 2 wanted)`);
  }
}
