/**
 * How training in several processes scales, on paper: what one step sends, what that takes on a network, and what share of the time is
 * left for computing.
 *
 *   npx tsx scripts/scaling.ts [--pairs 32] [--step 4.61] [--features 0.3] [--gigabits 10] [--latency 20]
 *
 * `--step` is what one process takes for its pairs, in seconds; `--features` how much of that the features alone take, which are computed once more where
 * there are others; `npx tsx bench/train-step.ts` measures both. `--gigabits` a second, of each node in each direction, and `--latency` of a message, in
 * microseconds, are the network's.
 */
import { sizeOf } from "../src/core/shape.ts";
import { parseArgs } from "node:util";
import { smallLength } from "../src/engine/distributed/group.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { parameterSpecs } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "32" },
    step: { type: "string", default: "4.61" },
    features: { type: "string", default: "0.3" },
    gigabits: { type: "string", default: "10" },
    latency: { type: "string", default: "20" },
  },
});
const [pairs, step, features] = [Number(values.pairs), Number(values.step), Number(values.features)];
const [bytesPerSecond, latency] = [Number(values.gigabits) * 1.25e8, Number(values.latency) / 1e6];

const config = clipConfigs["ViT-B-32-quickgelu"];
const sizes = [...parameterSpecs(clipParameters(config)).values()].map(({ shape }) => sizeOf(shape));
const parameters = sizes.reduce((sum, size) => sum + size, 0);
/** The small ones go as one. */
const messages = 1 + sizes.filter((size) => size >= smallLength).length;

/**
 * Seconds in a ring of n nodes: each sends and gets (n − 1)/n of what is gathered, in n − 1 messages for each array, and twice that of
 * what is summed.
 */
const ring = (nodes: number, bytes: number, arrays: number, rounds: 1 | 2) =>
  rounds * (nodes - 1) * (bytes / nodes / bytesPerSecond + arrays * latency);

console.log(
  `ViT-B/32, ${parameters.toLocaleString("en")} parameters, summed as ${messages} arrays; ${pairs} pairs a node\n`,
);
console.log("| nodes |  batch | gathered | summed | network, s | step, s | pairs/s | of ideal |");
console.log("| ----: | -----: | -------: | -----: | ---------: | ------: | ------: | -------: |");
for (const nodes of [1, 2, 4, 8, 16, 32, 64, 128]) {
  const batch = nodes * pairs;
  // Features of images and texts, and token ids by which equal captions are found.
  const gathered = nodes === 1 ? 0 : 4 * batch * (2 * config.embedDim + config.text.contextLength);
  // Gradients at the features, and of the parameters.
  const summed = nodes === 1 ? 0 : 4 * (2 * batch * config.embedDim + parameters);
  const network = ring(nodes, gathered, 3, 1) + ring(nodes, summed, messages + 2, 2);
  const computing = step * (nodes === 1 ? 1 : 1 + features);
  const rate = batch / (computing + network);
  const cells = [
    String(nodes).padStart(5),
    String(batch).padStart(6),
    megabytes(gathered).padStart(8),
    megabytes(summed).padStart(6),
    network.toFixed(2).padStart(10),
    (computing + network).toFixed(2).padStart(7),
    rate.toFixed(1).padStart(7),
    `${((100 * rate * step) / batch).toFixed(0)} %`.padStart(8),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}

function megabytes(bytes: number): string {
  return bytes === 0 ? "–" : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
