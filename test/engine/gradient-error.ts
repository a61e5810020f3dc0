import { Random } from "../../src/core/random.ts";
import type { TensorData } from "../../src/core/tensor-data.ts";
import { gradients } from "../../src/engine/autodiff/gradients.ts";
import { constant, input, type Tensor } from "../../src/engine/graph/tensor.ts";
import { buildModel } from "../../src/engine/onnx/build.ts";
import { OrtSession } from "../../src/engine/runtime/ort-session.ts";

/** A small program with the values it is tried on. */
export interface Program {
  readonly title: string;
  readonly inputs: readonly TensorData[];
  readonly build: (...inputs: Tensor[]) => Tensor;
}

/**
 * Random numbers in [low, high), in steps of 1/1024, so that adding a step of the differences is exact.
 *
 * @param gap - keeps this far from zero on both sides, for functions with a kink there.
 */
export function randomInput(
  shape: readonly number[],
  { seed = 1, low = -1, high = 1, gap = 0 } = {},
): TensorData<"float32"> {
  const random = new Random(seed, ...shape);
  const data = new Float32Array(shape.reduce((total, size) => total * size, 1));
  for (let i = 0; i < data.length; i++) {
    const value = Math.floor(random.uniform(low, high) * 1024) / 1024;
    data[i] = value + (value < 0 ? -gap : gap);
  }
  return { dtype: "float32", shape, data };
}

/** The inputs of a program as symbolic tensors a, b, c …, their feeds, and what it builds of them. */
export function instantiate({ inputs, build }: Program) {
  const names = inputs.map((_, i) => String.fromCharCode(97 + i));
  const tensors = inputs.map(({ shape, dtype }, i) => input(names[i]!, shape, dtype));
  const feeds = Object.fromEntries(inputs.map((data, i) => [names[i]!, data]));
  return { tensors, feeds, y: build(...tensors) };
}

type Feeds = Readonly<Record<string, TensorData>>;

/** Compiles a program for the calling thread; each run takes from the feeds what the program still needs. */
async function compile(outputs: Readonly<Record<string, Tensor>>, threads = 1) {
  const model = buildModel(outputs);
  const session = await OrtSession.create(model, { threads });
  return {
    run: (feeds: Feeds) => session.run(Object.fromEntries(model.inputs.map(({ name }) => [name, feeds[name]!]))),
    release: () => session.release(),
  };
}

/** Runs a program once, on the calling thread. */
export async function run(outputs: Readonly<Record<string, Tensor>>, feeds: Feeds = {}, threads = 1) {
  const session = await compile(outputs, threads);
  return session.run(feeds).finally(session.release);
}

/** The float32 elements of a result. */
export function floats(result: TensorData | undefined): Float32Array {
  return (result as TensorData<"float32">).data;
}

type Derive = (y: Tensor, x: readonly Tensor[], dy: Tensor) => readonly Tensor[];

/**
 * How far gradients are from central differences, relative to the largest of the differences (to 1, if all are
 * smaller). Both come out of ONNX Runtime. The loss is Σ dy·y with a random dy, summed in double precision.
 *
 * Four points, (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, are exact up to h⁴ f⁗′/30; with h = 1/32 what is left is
 * the rounding of float32, about 1e-6.
 */
export async function gradientError(
  program: Program,
  derive: Derive = (y, x, seed) => gradients(y, x, { seed }),
  h = 1 / 32,
): Promise<number> {
  const { tensors, feeds, y } = instantiate(program);
  const dy = randomInput(y.shape as readonly number[], { seed: 2 });
  const differentiated = tensors.filter(({ dtype }) => dtype === "float32");
  const derived = derive(y, differentiated, constant(dy));
  const analytic = await run(Object.fromEntries(derived.map((dx, i) => [`d${i}`, dx])), feeds);

  const session = await compile({ y });
  const loss = async (): Promise<number> =>
    floats((await session.run(feeds))["y"]).reduce((total, value, i) => total + value * dy.data[i]!, 0);
  let [worst, scale] = [0, 1];
  for (const [i, tensor] of differentiated.entries()) {
    const x = (feeds[tensor.name!] as TensorData<"float32">).data;
    for (let element = 0; element < x.length; element++) {
      const value = x[element]!;
      const lossAt = (shift: number) => {
        x[element] = value + shift;
        return loss();
      };
      const [near, far] = [(await lossAt(h)) - (await lossAt(-h)), (await lossAt(2 * h)) - (await lossAt(-2 * h))];
      x[element] = value;
      const difference = (8 * near - far) / (12 * h);
      scale = Math.max(scale, Math.abs(difference));
      worst = Math.max(worst, Math.abs(difference - floats(analytic[`d${i}`])[element]!));
    }
  }
  await session.release();
  return worst / scale;
}
