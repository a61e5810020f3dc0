import type { Dtype } from "../../core/dtype.ts";
import { ClipError, ShapeError } from "../../core/errors.ts";
import { type Dim, parseDim, type Shape } from "../../core/shape.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import type { OpSignatures, TensorPlace } from "../graph/ops.ts";
import { attrsOf, type Tensor } from "../graph/tensor.ts";
import { loweringRules } from "./lowering-rules.ts";
import type { DeferredBytes } from "./protobuf.ts";

/** An attribute of an ONNX node; a number is an integer unless wrapped as `{ float }`. */
export type OnnxAttribute = number | { readonly float: number } | string | readonly number[];

export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** An initializer: its elements, perhaps deferred, or their place in a file. */
export interface OnnxInitializer {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly content: Uint8Array | DeferredBytes | TensorPlace;
}

/**
 * Maps a stored tensor to the place and dtype in which ONNX Runtime finds it. Half precision, which every program
 * casts, may become float32.
 */
export type Locate = (place: TensorPlace, dtype: Dtype) => { readonly place: TensorPlace; readonly dtype: Dtype };

/** Collects the ONNX nodes of a graph. Lowering rules call `value` for their inputs and `emit` for their nodes. */
export class Lowering {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  readonly inputs: OpSignatures["input"]["attrs"][] = [];
  readonly #locate: Locate;

  readonly #names = new Set<string>();
  readonly #values = new Map<Tensor, string>();
  readonly #emitted = new Map<string, OnnxNode>();
  readonly #constants = new Map<string, string>();

  constructor(locate: Locate) {
    this.#locate = locate;
  }

  /** Name of a tensor's ONNX value; the tensor is lowered on first use. */
  value(tensor: Tensor): string {
    let name = this.#values.get(tensor);
    if (name === undefined) {
      const rule = loweringRules[tensor.op] as (l: Lowering, y: Tensor, inputs: unknown, attrs: unknown) => string;
      name = rule(this, tensor, tensor.inputs, tensor.attrs);
      this.#values.set(tensor, name);
    }
    return name;
  }

  values(tensors: readonly Tensor[]): string[] {
    return tensors.map((tensor) => this.value(tensor));
  }

  /** Adds a node, unless an equal one exists, and returns the name of an output (default the first). */
  emit(
    opType: string,
    inputs: readonly string[],
    attributes: OnnxNode["attributes"] = {},
    { domain = "", output = 0 } = {},
  ): string {
    const key = JSON.stringify([domain, opType, inputs, attributes]);
    let node = this.#emitted.get(key);
    if (!node) {
      node = { opType, domain, inputs, outputs: [], attributes, name: `${opType}_${this.nodes.length}` };
      node.outputs.push(node.name);
      this.#emitted.set(key, node);
      this.nodes.push(node);
    }
    while (node.outputs.length <= output) node.outputs.push("");
    return (node.outputs[output] ||= `${node.name}_${output}`);
  }

  /** Adds an initializer; small ones are deduplicated. */
  constant({ dtype, shape, data }: TensorData): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const key = bytes.length <= 256 ? `${dtype} ${shape.join()} ${bytes.join()}` : "";
    let name = key && this.#constants.get(key);
    if (!name) {
      name = `constant_${this.initializers.length}`;
      this.initializers.push({ name, dtype, shape, content: bytes });
      if (key) this.#constants.set(key, name);
    }
    return name;
  }

  /** A list of integers, such as a shape or axes, as an ONNX value. */
  int64s(values: readonly number[]): string {
    return this.constant({ dtype: "int64", shape: [values.length], data: BigInt64Array.from(values, BigInt) });
  }

  /** A shape as an ONNX value; symbolic sizes are read from the program's inputs. */
  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === "number")) return this.int64s(shape);
    const sizes = shape.map((dim) => this.#size(dim));
    return this.emit("Concat", sizes, { axis: 0 });
  }

  input(tensor: Tensor & { op: "input" }): string {
    const attrs = attrsOf<"input">(tensor);
    this.#claim(attrs.name);
    this.inputs.push(attrs);
    return attrs.name;
  }

  stored(tensor: Tensor & { op: "stored" }): string {
    const { name, shape, ...attrs } = attrsOf<"stored">(tensor);
    this.#claim(name);
    const { dtype, place } = this.#locate(attrs.place, attrs.dtype);
    this.initializers.push({ name, dtype, shape, content: place });
    return name;
  }

  #claim(name: string): void {
    if (this.#names.has(name))
      throw new ClipError("CLIP_USAGE", `two inputs of the program are named "${name}"; give each its own name`);
    this.#names.add(name);
  }

  #size(dim: Dim): string {
    const { factor, symbols } = parseDim(dim);
    return symbols.reduce(
      (size, symbol) => {
        const source = this.inputs.find(({ shape }) => shape.includes(symbol));
        if (!source) throw new ShapeError("buildModel", `no input of the program has the size "${symbol}"`);
        const start = source.shape.indexOf(symbol);
        const read = this.emit("Shape", [source.name], { start, end: start + 1 });
        return size === "" ? read : this.emit("Mul", [size, read]);
      },
      factor === 1 && symbols.length > 0 ? "" : this.int64s([factor]),
    );
  }
}
