import { Random } from "../../core/random.ts";
import { sizeOf } from "../../core/shape.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import type { NormParameters, Linear } from "./layers.ts";

/** A parameter's initial values: a constant, N(0, std²), U(−bound, bound), or explicit values. */
export type Initial =
  | { readonly constant: number }
  | { readonly std: number }
  | { readonly bound: number }
  | { readonly values: Float32Array };

/** A parameter without values. */
export interface ParameterSpec {
  readonly shape: readonly number[];
  readonly initial: Initial;
  /** False for batch norm's running statistics, which are stored but not learned. */
  readonly trainable: boolean;
}

/** The same record with another leaf type: `WithLeaves<Clip<ParameterSpec>, Tensor>` is `Clip<Tensor>`. */
export type WithLeaves<Node, Leaf> = Node extends ParameterSpec
  ? Leaf
  : Node extends readonly (infer Item)[]
    ? readonly WithLeaves<Item, Leaf>[]
    : { readonly [Key in keyof Node]: WithLeaves<Node[Key], Leaf> };

/** A record of specs; `never` for anything else, such as a configuration. */
export type Specs<Node> = Node extends ParameterSpec | undefined
  ? Node
  : Node extends object
    ? { readonly [Key in keyof Node]: Specs<Node[Key]> }
    : never;

const isSpec = (node: object): node is ParameterSpec => "initial" in node;

/** Yields each leaf of a record with its path, such as `vision.blocks.3.mlp.fc.weight`, in order. */
export function* leaves<Leaf extends object>(
  node: object,
  isLeaf: (node: object) => node is Leaf,
  path = "",
): Generator<[string, Leaf]> {
  if (isLeaf(node)) yield [path, node];
  else for (const [key, child] of Object.entries(node)) yield* leaves(child as object, isLeaf, join(path, key));
}

/** Specs of a model's parameters, by path. */
export function parameterSpecs<Model extends object>(model: Model & Specs<Model>): Map<string, ParameterSpec> {
  return new Map(leaves(model, isSpec));
}

/** A copy of a model's record with each spec replaced by the result of `make`. */
export function mapParameters<Model extends object, Leaf>(
  model: Model & Specs<Model>,
  make: (path: string, spec: ParameterSpec) => Leaf,
): WithLeaves<Model, Leaf> {
  const visit = (node: object, path: string): unknown => {
    if (isSpec(node)) return make(path, node);
    if (Array.isArray(node)) return node.map((child: object, i) => visit(child, join(path, String(i))));
    return Object.fromEntries(
      Object.entries(node).map(([key, child]) => [key, visit(child as object, join(path, key))]),
    );
  };
  return visit(model, "") as WithLeaves<Model, Leaf>;
}

const join = (path: string, key: string) => (path === "" ? key : `${path}.${key}`);

/** Number of trainable values in a model. */
export function countParameters<Model extends object>(model: Model & Specs<Model>): number {
  let count = 0;
  for (const { shape, trainable } of parameterSpecs<Model>(model).values()) if (trainable) count += sizeOf(shape);
  return count;
}

/** Initial values of a model's parameters (or those that `isWanted` accepts), by path; reproducible from `seed`. */
export function initializeParameters<Model extends object>(
  model: Model & Specs<Model>,
  seed: number,
  isWanted: (path: string) => boolean = () => true,
): Map<string, TensorData<"float32">> {
  const parameters = new Map<string, TensorData<"float32">>();
  for (const [path, { shape, initial }] of parameterSpecs<Model>(model)) {
    if (isWanted(path))
      parameters.set(path, float32(draw(initial, sizeOf(shape), new Random(seed, parameters.size)), shape));
  }
  return parameters;
}

function draw(initial: Initial, size: number, random: Random): Float32Array {
  if ("values" in initial) return initial.values.slice();
  if ("constant" in initial) return new Float32Array(size).fill(initial.constant);
  const next =
    "std" in initial ? () => initial.std * random.normal() : () => random.uniform(-initial.bound, initial.bound);
  return Float32Array.from({ length: size }, next);
}

export function spec(shape: readonly number[], initial: Initial, trainable = true): ParameterSpec {
  return { shape, initial, trainable };
}

/** A norm over `size` values; its shift starts at 0. */
export function normSpec(size: number, weight = 1): NormParameters<ParameterSpec> {
  return { weight: spec([size], { constant: weight }), bias: spec([size], { constant: 0 }) };
}

/** A weight with PyTorch's default for linear layers and convolutions, U(±1/√fanIn). */
export function fanInSpec(shape: readonly number[]): ParameterSpec {
  return spec(shape, { bound: sizeOf(shape.slice(1)) ** -0.5 });
}

/** A linear layer; initial values default to {@link fanInSpec}'s. */
export function linearSpec(out: number, input: number, weight?: Initial, bias?: Initial): Linear<ParameterSpec> {
  const byFanIn = { bound: input ** -0.5 };
  return { weight: spec([out, input], weight ?? byFanIn), bias: spec([out], bias ?? byFanIn) };
}
