/**
 * One AdamW step for the 151 million parameters of ViT-B/32, in milliseconds: `npx tsx bench/adamw.ts [--json]`.
 */
import { sizeOf } from "../src/core/shape.ts";
import { cpus } from "node:os";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { parameterSpecs } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { AdamW } from "../src/engine/optimize/adamw.ts";

const runs = 9;
const specs = [...parameterSpecs(clipParameters(clipConfigs["ViT-B-32-quickgelu"]))].filter(
  ([, { trainable }]) => trainable,
);
const parameters = specs.map(([path, { shape }]) => ({
  path,
  shape,
  decay: shape.length > 1,
}));
const numbers = parameters.reduce((total, { shape }) => total + sizeOf(shape), 0);
const filled = (value: number) =>
  new Map(parameters.map(({ path, shape }) => [path, new Float32Array(sizeOf(shape)).fill(value)]));
const summarise = (times: number[]) => {
  const sorted = times.map(Math.round).sort((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]!, max: sorted.at(-1)! };
};

const options = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 };
const results: Record<string, ReturnType<typeof summarise>> = {};
for (const threads of [1, 2]) {
  await using adamw = await AdamW.create(options, parameters, threads);
  const weights = filled(0.1);
  const times: number[] = [];
  for (let i = 0; i <= runs; i++) {
    const gradients = filled(0.01);
    const start = performance.now();
    await adamw.step(weights, gradients, { learningRate: 1e-3 });
    // The first step touches the moments' memory for the first time.
    if (i > 0) times.push(performance.now() - start);
  }
  results[`${threads} thread${threads > 1 ? "s" : ""}`] = summarise(times);
}

const machine = `${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`;
if (process.argv.includes("--json")) console.log(JSON.stringify({ machine, numbers, unit: "ms", results }));
else {
  console.log(`AdamW, ${numbers} parameters; ms, min / median / max; ${machine}`);
  for (const [name, { min, median, max }] of Object.entries(results))
    console.log(`${name}: ${min} / ${median} / ${max}`);
}
