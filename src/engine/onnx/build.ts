import type { OwnBytes } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { reachable, type Tensor } from "../graph/tensor.ts";
import { simplify } from "../graph/simplify.ts";
import { encodeModel, type OnnxParts, type OnnxValue } from "./encode.ts";
import { Lowering, type OnnxNode } from "./lowering.ts";
import { WeightFolder } from "./weight-folder.ts";

/** A program as ONNX Runtime's input. */
export interface OnnxModel {
  /** A ModelProto. */
  readonly bytes: Uint8Array;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Folder of the weight files that the model refers to, if any. */
  readonly folder?: string;
  /** In a page: the weights that the model refers to as `packedWeights`. */
  readonly weights?: OwnBytes;
}

/** File name by which a model refers to {@link OnnxModel.weights}. */
export const packedWeights = "weights";

/**
 * Lowers the program that computes the outputs to ONNX.
 *
 * Tensors run in the order of their creation: ONNX Runtime orders nodes by a depth-first walk from the last node of the
 * file, so nodes are written backwards. With gradients, this order frees each activation as early as possible.
 */
export function buildModel(outputs: Readonly<Record<string, Tensor>>): OnnxModel {
  const folder = new WeightFolder();
  const model = modelOf(lowerProgram(outputs, folder.locate));
  return { ...model, ...(folder.path !== undefined && { folder: folder.path }) };
}

/** Encodes the result of {@link lowerProgram}. */
export function modelOf(parts: OnnxParts): OnnxModel {
  return { bytes: encodeModel(parts).finish(), inputs: parts.inputs, outputs: parts.outputs };
}

/** Lowers a program to ONNX parts, before they are encoded. */
export function lowerProgram(outputs: Readonly<Record<string, Tensor>>, locate = new WeightFolder().locate): OnnxParts {
  const names = Object.keys(outputs);
  if (names.length === 0) throw new ClipError("CLIP_USAGE", "a program needs at least one output");
  const simplified = simplify(Object.values(outputs));
  const lowering = new Lowering(locate);
  const tensors = reachable(simplified);
  for (const tensor of tensors) if (tensor.op === "input") lowering.value(tensor);
  // Transposes and dequantized matrices are lowered on demand, since a matrix product can read the original.
  for (const tensor of tensors) if (tensor.op !== "transpose" && tensor.op !== "dequantize") lowering.value(tensor);
  const values = simplified.map(({ dtype, shape }, i): OnnxValue => ({ name: names[i]!, dtype, shape }));
  const nodes = nameOutputs(lowering, simplified, names).toReversed();
  const { initializers, inputs } = lowering;
  const fed = [...inputs, ...initializers].find(({ name }) => names.includes(name));
  if (fed) throw new ClipError("CLIP_USAGE", `an output and an input are both named "${fed.name}"; rename the output`);
  return { nodes, initializers, inputs, outputs: values };
}

/** The needed nodes, with the program's outputs renamed. */
function nameOutputs(lowering: Lowering, outputs: readonly Tensor[], names: readonly string[]): OnnxNode[] {
  const nodes = withoutDeadNodes(lowering.nodes, new Set(outputs.map((tensor) => lowering.value(tensor))));
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const renamed = new Map<string, string>();
  const copies: OnnxNode[] = [];
  outputs.forEach((tensor, i) => {
    const value = lowering.value(tensor);
    const name = names[i]!;
    if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
    else copies.push({ name, opType: "Identity", domain: "", inputs: [value], outputs: [name], attributes: {} });
  });
  const rename = (value: string): string => renamed.get(value) ?? value;
  return [...nodes, ...copies].map(({ inputs, outputs, ...node }) => {
    return { ...node, inputs: inputs.map(rename), outputs: outputs.map(rename) };
  });
}

/** The nodes whose values are needed. ONNX Runtime would also run the others, such as a square fused into its sum. */
function withoutDeadNodes(nodes: readonly OnnxNode[], needed: Set<string>): OnnxNode[] {
  return nodes
    .toReversed()
    .filter(({ inputs, outputs }) => {
      if (!outputs.some((value) => needed.has(value))) return false;
      for (const value of inputs) needed.add(value);
      return true;
    })
    .toReversed();
}
