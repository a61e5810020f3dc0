/**
 * Search in 10,000, 100,000 and 1,000,000 vectors of 512 numbers, by the scan of a search index, with the time to get ready, memory,
 * and recall@10 against exact products in double precision: `npx tsx bench/search.ts [--rows 10000,100000,1000000] [--json]`.
 *
 * Vectors are normalise(centre + 0.7 · noise) of 10,000 centres; queries are made the same way. Each size is a process of its own.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Random } from "../src/core/random.ts";
import { type RowSource, Scanner } from "../src/applications/search/scan/scanner.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "10000,100000,1000000" },
    one: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const dim = 512;
const seed = 20261201;
const [queries, checked] = [100, 10];

interface Figures {
  readonly rows: number;
  readonly coldSeconds: number;
  readonly readySeconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly recall: number;
  readonly scanMegabytes: number;
}

/** Rows like those of clusters of similar images. */
function clustered(count: number): { readonly rows: Float32Array; readonly queries: Float32Array[] } {
  const random = new Random(seed, count);
  const gaussians = Float32Array.from({ length: 1 << 20 }, () => random.normal());
  const unit = (into: Float32Array, centre: number) => {
    const at = random.integer(gaussians.length - dim);
    let squares = 0;
    for (let i = 0; i < dim; i++) {
      const value = gaussians[(centre * 97 + i) % gaussians.length]! + 0.7 * gaussians[at + i]!;
      into[i] = value;
      squares += value * value;
    }
    const scale = 1 / Math.sqrt(squares);
    for (let i = 0; i < dim; i++) into[i]! *= scale;
  };
  const rows = new Float32Array(count * dim);
  for (let row = 0; row < count; row++) unit(rows.subarray(row * dim, (row + 1) * dim), random.integer(10_000));
  const asked = Array.from({ length: queries }, () => new Float32Array(dim));
  for (const query of asked) unit(query, random.integer(10_000));
  return { rows, queries: asked };
}

/** The exact best rows. */
function best(query: Float32Array, rows: Float32Array, k: number): number[] {
  const scores = Float64Array.from({ length: rows.length / dim }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += query[i]! * rows[row * dim + i]!;
    return sum;
  });
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  return order.slice(0, k).map((row) => row + 1);
}

async function measure(count: number): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), "clip-ts-bench-"));
  try {
    const { rows, queries: asked } = clustered(count);
    const ids = Float64Array.from({ length: count }, (_, i) => i + 1);
    const vectorsOf = (wanted: Float64Array) => {
      const vectors = new Float32Array(wanted.length * dim);
      for (const [i, id] of wanted.entries()) vectors.set(rows.subarray((id - 1) * dim, id * dim), i * dim);
      return vectors;
    };
    const source: RowSource = { dim, ids: () => ids, vectors: vectorsOf };
    const secondsOf = async <Result>(work: () => Promise<Result>): Promise<[number, Result]> => {
      const start = performance.now();
      const result = await work();
      return [(performance.now() - start) / 1000, result];
    };
    const first = async () => {
      const scanner = await Scanner.open(join(folder, "scan"), source);
      await scanner.scan(asked[0]!, 10);
      return scanner;
    };
    const [coldSeconds, cold] = await secondsOf(first);
    await cold[Symbol.asyncDispose]();
    const before = process.memoryUsage.rss();
    const [readySeconds, scanner] = await secondsOf(first);
    const search = async (query: Float32Array, k: number) => {
      const found = Float64Array.from(await scanner.scan(query, k), ({ id }) => id);
      const vectors = vectorsOf(found);
      const scores = Array.from(found, (id, row) => {
        let sum = 0;
        for (let i = 0; i < dim; i++) sum += query[i]! * vectors[row * dim + i]!;
        return { id, sum };
      });
      return scores.sort((a, b) => b.sum - a.sum).slice(0, k);
    };
    const times: number[] = [];
    for (const query of asked) times.push(1000 * (await secondsOf(() => search(query, 10)))[0]);
    times.sort((a, b) => a - b);
    let right = 0;
    for (const query of asked.slice(0, checked)) {
      const found = new Set((await search(query, 10)).map(({ id }) => id));
      right += best(query, rows, 10).filter((id) => found.has(id)).length;
    }
    const scanMegabytes = (process.memoryUsage.rss() - before) / 1e6;
    await scanner[Symbol.asyncDispose]();
    const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))]!;
    return {
      rows: count,
      coldSeconds,
      readySeconds,
      p50: at(0.5),
      p99: at(0.99),
      recall: right / (10 * checked),
      scanMegabytes,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (values.one !== undefined) console.log(JSON.stringify(await measure(Number(values.one))));
else {
  const self = fileURLToPath(import.meta.url);
  const figures = values.rows.split(",").map((rows) => {
    const args = [...process.execArgv, "--max-old-space-size=12000", self, "--one", rows];
    return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Figures;
  });
  if (values.json) console.log(JSON.stringify(figures, null, 2));
  else {
    console.log(
      `${dim} numbers per vector; ${availableParallelism()} × ${cpus()[0]?.model}, Node ${process.version}\n`,
    );
    console.log("     rows   p50 ms   p99 ms   recall@10   ready s   from the rows s   scan MB");
    for (const { rows, p50, p99, recall, readySeconds, coldSeconds, scanMegabytes } of figures)
      console.log(
        [
          rows.toLocaleString("en").padStart(9),
          p50.toFixed(1).padStart(8),
          p99.toFixed(1).padStart(8),
          recall.toFixed(3).padStart(11),
          readySeconds.toFixed(2).padStart(9),
          coldSeconds.toFixed(2).padStart(17),
          scanMegabytes.toFixed(0).padStart(9),
        ].join(" "),
      );
  }
}
