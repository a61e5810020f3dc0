import { ClipError } from "../../core/errors.ts";
import {
  abortSignal,
  callback,
  checkKind,
  checkOptions,
  either,
  numberFrom,
  oneOf,
  type OptionKinds,
  record,
  wholeNumber,
} from "../../core/options.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { gradients } from "../autodiff/gradients.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import type { NamedTensors } from "../runtime/ort-session.ts";
import { type CompileOptions, Session } from "../runtime/session.ts";
import { AdamW, type AdamwOptions } from "./adamw.ts";
import { deviceKind } from "../runtime/session-kinds.ts";
import type { OptimizedParameter, Optimizer } from "./optimizer.ts";
import { Ranger, type RangerOptions } from "./ranger.ts";

/** The tensors that {@link minimize} computes in a step. */
export interface LossProgram {
  /** [] */
  readonly loss: Tensor;
  /** Further outputs by name. */
  readonly outputs?: Readonly<Record<string, Tensor>> | undefined;
  /** New values of parameters that are not learned, by path, such as batch norm's running statistics. */
  readonly statistics?: ReadonlyMap<string, Tensor> | undefined;
}

/** The update rule of {@link minimize}. */
export type OptimizerChoice =
  ({ readonly kind: "adamw" } & AdamwOptions) | ({ readonly kind: "ranger" } & RangerOptions);

export interface MinimizeOptions extends Pick<CompileOptions, "device"> {
  readonly steps: number;
  /** A constant, or a function of the step, which counts from 0. */
  readonly learningRate: number | ((step: number) => number);
  /** Default Adam: AdamW without weight decay, β₁ 0.9, β₂ 0.999, ε 1e-8. */
  readonly optimizer?: OptimizerChoice | undefined;
  /** Multiplies the learning rate of a parameter, by its path. Default 1. */
  readonly rateScale?: ((path: string) => number) | undefined;
  /** Further inputs of a step, such as a batch. */
  readonly feeds?: ((step: number) => NamedTensors | Promise<NamedTensors>) | undefined;
  /** Changes the parameters in place after an update, such as a clamp. */
  readonly project?: ((parameters: ReadonlyMap<string, Float32Array>, step: number) => void) | undefined;
  /** Stops between two steps. */
  readonly signal?: AbortSignal | undefined;
}

const minimizeKinds: OptionKinds<MinimizeOptions> = {
  ...{ steps: wholeNumber(0), learningRate: either(numberFrom(0), callback), optimizer: record },
  ...{ rateScale: callback, feeds: callback, project: callback },
  ...{ signal: abortSignal, device: deviceKind },
};

export interface MinimizeStep {
  /** Steps made so far, from 1. */
  readonly step: number;
  /** Loss before the update. */
  readonly loss: number;
  /** The program's further outputs, before the update. */
  readonly outputs: NamedTensors;
  /** All parameters after the update, by path; they change with the next step. */
  readonly parameters: ReadonlyMap<string, TensorData<"float32">>;
}

/** Adam as published (Kingma and Ba 2015). */
const adam: OptimizerChoice = { kind: "adamw", beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

const gradientPrefix = "gradient.";
const statisticPrefix = "statistic.";

/**
 * Minimizes a loss by gradient descent; yields each step. Weight decay applies to parameters of two axes or more.
 *
 * @example
 * ```ts
 * const start = new Map([["x", float32([3], [1])]]);
 * const program = (p: ReadonlyMap<string, Tensor>) => ({ loss: p.get("x")!.square().sum() });
 * for await (const { step, loss } of minimize(start, program, { steps: 100, learningRate: 0.1 })) console.log(step, loss);
 * ```
 *
 * @param start - initial values by path; they are copied.
 * @param program - builds the loss from a tensor for each parameter.
 * @throws {ClipError} `CLIP_RUNTIME` at a loss that is not a finite number.
 */
export async function* minimize(
  start: ReadonlyMap<string, TensorData<"float32">>,
  program: (parameters: ReadonlyMap<string, Tensor>) => LossProgram,
  options: MinimizeOptions,
): AsyncGenerator<MinimizeStep> {
  checkKind("minimize: the program", program, callback);
  checkOptions("minimize", options, minimizeKinds, ["steps", "learningRate"]);
  const { steps, learningRate, rateScale = () => 1, feeds, project, signal, device } = options;
  const shapes = new Map(Array.from(start, ([path, { shape }]) => [path, shape]));
  const values = new Map<string, Float32Array>(Array.from(start, ([path, { data }]) => [path, data.slice()]));
  const { outputs, statistics, learned } = stepProgram(shapes, program);
  const described = learned.map((path): OptimizedParameter => {
    const shape = shapes.get(path)!;
    return { path, shape, decay: shape.length > 1, rateScale: rateScale(path) };
  });
  await using session = await Session.compile(outputs, { training: true, device, signal });
  await using optimizer = await createOptimizer(options.optimizer ?? adam, described);
  const tensors = () => new Map(Array.from(values, ([path, data]) => [path, float32(data, shapes.get(path)!)]));
  const used = new Set(session.inputs.map(({ name }) => name));

  for (let step = 0; step < steps; step++) {
    signal?.throwIfAborted();
    const parameters = Object.fromEntries([...tensors()].filter(([path]) => used.has(path)));
    const results = await session.run({ ...parameters, ...(await feeds?.(step)) });
    const loss = Number(results["loss"]!.data[0]);
    if (!Number.isFinite(loss))
      throw new ClipError("CLIP_RUNTIME", `the loss is ${loss} in step ${step + 1}; lower the learning rate`);
    const found = new Map(learned.map((path) => [path, results[gradientPrefix + path]!.data as Float32Array]));
    const rate = typeof learningRate === "number" ? learningRate : learningRate(step);
    await optimizer.step(values, found, { learningRate: rate });
    for (const path of statistics) values.set(path, results[statisticPrefix + path]!.data as Float32Array);
    project?.(values, step);
    yield { step: step + 1, loss, outputs: own(results), parameters: tensors() };
  }
}

/** Loss, outputs, gradients and statistics as one program; and which parameters are learned. */
function stepProgram(
  shapes: ReadonlyMap<string, readonly number[]>,
  program: (parameters: ReadonlyMap<string, Tensor>) => LossProgram,
) {
  const parameters = new Map(Array.from(shapes, ([path, shape]) => [path, input(path, shape)]));
  const { loss, outputs, statistics = new Map<string, Tensor>() } = program(parameters);
  const learned = [...parameters.keys()].filter((path) => !statistics.has(path));
  const wrt = learned.map((path) => parameters.get(path)!);
  const slopes = gradients(loss, wrt).map((slope, i) => [gradientPrefix + learned[i]!, slope] as const);
  const renewed = Array.from(statistics, ([path, tensor]) => [statisticPrefix + path, tensor] as const);
  const all: Record<string, Tensor> = { ...outputs, loss, ...Object.fromEntries([...slopes, ...renewed]) };
  return { outputs: all, statistics: [...statistics.keys()], learned };
}

function createOptimizer(choice: OptimizerChoice, parameters: readonly OptimizedParameter[]): Promise<Optimizer> {
  checkKind("minimize: optimizer.kind", choice.kind, oneOf("adamw", "ranger"));
  const { kind, ...constants } = choice;
  return kind === "adamw"
    ? AdamW.create(constants as AdamwOptions, parameters)
    : Promise.resolve(new Ranger(parameters, constants));
}

/** The results that the caller asked for. */
function own(results: NamedTensors): NamedTensors {
  const isOwn = (name: string) => !name.startsWith(gradientPrefix) && !name.startsWith(statisticPrefix);
  return Object.fromEntries(Object.entries(results).filter(([name]) => isOwn(name)));
}
