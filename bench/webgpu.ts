/**
 * ViT-B/32 with random weights through WebGPU against the processor, on this machine: images a second of the image tower, and a
 * training step's loss and gradients: `npx tsx bench/webgpu.ts`.
 *
 * It needs a graphics processor that Vulkan, Metal or Direct3D reaches; else ONNX Runtime says that it finds no adapter.
 */
import { cpus } from "node:os";
import { float32, int32, type TensorData } from "../src/core/tensor-data.ts";
import { relativeError } from "../src/learning/parity/compare.ts";
import { constant, input, type Tensor } from "../src/engine/graph/tensor.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { encodeImage } from "../src/model/towers/clip.ts";
import { initializeParameters, mapParameters } from "../src/model/nn/parameters.ts";
import { clipParameters } from "../src/model/towers/parameters.ts";
import { buildModel } from "../src/engine/onnx/build.ts";
import { type NamedTensors, OrtSession, type SessionOptions } from "../src/engine/runtime/ort-session.ts";
import { prefixes, stepProgram } from "../src/learning/train/step/programs.ts";

const config = clipConfigs["ViT-B-32-quickgelu"];
const parameters = initializeParameters(clipParameters(config), 1);
const { contextLength } = config.text;

const images = (count: number) =>
  float32(
    Float32Array.from({ length: count * 3 * 224 * 224 }, (_, i) => Math.sin(i * 12.9898)),
    [count, 3, 224, 224],
  );

console.log(`ViT-B/32 on WebGPU and ${cpus().length} × ${cpus()[0]!.model}, Node ${process.version}`);
for (const batchSize of [16, 64]) {
  const p = mapParameters(clipParameters(config), (path) => constant(parameters.get(path)!));
  const imageEmbeds = encodeImage(p, config, input("pixelValues", [batchSize, 3, 224, 224]));
  const feeds = { pixelValues: images(batchSize) };
  // Nothing of it may be left to the processor.
  const webgpu = await measure({ imageEmbeds }, feeds, 8, { device: "webgpu", fallback: false });
  const cpu = await measure({ imageEmbeds }, feeds, 8, { device: "cpu" });
  const [rate, peer] = [webgpu, cpu].map(({ ms }) => ((1000 * batchSize) / ms).toFixed(0));
  const apart = largestError(webgpu.outputs, cpu.outputs, "");
  console.log(`image tower, batch ${batchSize}: ${rate} images a second, processor ${peer}; ${apart} apart`);
}
const batchSize = 32;
const feeds: Record<string, TensorData> = {
  ...Object.fromEntries(parameters),
  pixelValues: images(batchSize),
  inputIds: int32(
    Int32Array.from({ length: batchSize * contextLength }, (_, i) => (i * 7919) % 49_000),
    [batchSize, contextLength],
  ),
  captionGroup: int32(
    Int32Array.from({ length: batchSize }, (_, i) => i),
    [batchSize],
  ),
  endOfText: int32(new Int32Array(batchSize).fill(contextLength - 1), [batchSize]),
};
const program = stepProgram(config, batchSize, {});
const webgpu = await measure(program, feeds, 5, { device: "webgpu", training: true });
const cpu = await measure(program, feeds, 5, { device: "cpu", training: true });
const apart = largestError(webgpu.outputs, cpu.outputs, prefixes.gradient);
console.log(
  `loss and gradients, batch ${batchSize}: ${webgpu.ms.toFixed(0)} ms, processor ${cpu.ms.toFixed(0)} ms; gradients ${apart} apart`,
);

/** The last run's outputs, and the median of all runs but the first. */
async function measure(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: NamedTensors,
  runs: number,
  options: SessionOptions,
): Promise<{ outputs: NamedTensors; ms: number }> {
  const session = await OrtSession.create(buildModel(outputs), options);
  const wanted = Object.fromEntries(session.inputs.map(({ name }) => [name, feeds[name]!]));
  const times: number[] = [];
  let results: NamedTensors = {};
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    results = await session.run(wanted);
    times.push(performance.now() - start);
  }
  await session.release();
  const counted = times.slice(1).sort((a, b) => a - b);
  return { outputs: results, ms: counted[Math.floor(counted.length / 2)]! };
}

/** The largest relative error among outputs whose names begin so. */
function largestError(met: NamedTensors, wanted: NamedTensors, prefix: string): string {
  const names = Object.keys(wanted).filter((name) => name.startsWith(prefix));
  const errors = names.map((name) =>
    relativeError(met[name]!.data as Float32Array, wanted[name]!.data as Float32Array),
  );
  return Math.max(...errors).toExponential(1);
}
