import type { OwnBytes } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { reachable, type Tensor } from "../graph/tensor.ts";
import { simplify } from "../graph/simplify.ts";
import { encodeModel, type OnnxParts, type OnnxValue } from "./encode.ts";
import { Lowering, type OnnxNode } from "./lowering.ts";
import { WeightFolder } from "./weight-folder.ts";

/** A program as ONNX Runtime takes it. */
export interface OnnxModel {
  /** A ModelProto. */
  readonly bytes: Uint8Array;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** The folder with the weight files that the model points into, if it does. */
  readonly folder?: string;
  /** Where there are no files: the bytes that it points into by the name {@link packedWeights}. */
  readonly weights?: OwnBytes;
}

/** What a model calls weights that come beside it as one block of bytes. */
export const packedWeights = "weights";

/**
 * Lowers what the outputs need, and nothing else, to ONNX.
 *
 * Tensors should have been made in the order in which they are best computed: ONNX Runtime orders nodes by a
 * depth-first walk from the last node of the file, so nodes are written backwards to have it follow the order of
 * making. With gradients that is what lets each activation go as early as possible.
 */
export function buildModel(outputs: Readonly<Record<string, Tensor>>): OnnxModel {
  const folder = new WeightFolder();
  const model = modelOf(lowerProgram(outputs, folder.locate));
  return { ...model, ...(folder.path !== undefined && { folder: folder.path }) };
}

/** The bytes of what {@link lowerProgram} gives. */
export function modelOf(parts: OnnxParts): OnnxModel {
  return { bytes: encodeModel(parts).finish(), inputs: parts.inputs, outputs: parts.outputs };
}

/** What {@link buildModel} writes, before it is bytes. */
export function lowerProgram(outputs: Readonly<Record<string, Tensor>>, locate = new WeightFolder().locate): OnnxParts {
  const names = Object.keys(outputs);
  if (names.length === 0) throw new ClipError("CLIP_USAGE", "a program needs at least one output");
  const simplified = simplify(Object.values(outputs));
  const lowering = new Lowering(locate);
  const tensors = reachable(simplified);
  for (const tensor of tensors) if (tensor.op === "input") lowering.value(tensor);
  // These wait until somebody wants them: a matrix product reads its operand as it lies.
  for (const tensor of tensors) if (tensor.op !== "transpose" && tensor.op !== "dequantize") lowering.value(tensor);
  const values = simplified.map(({ dtype, shape }, i): OnnxValue => ({ name: names[i]!, dtype, shape }));
  const nodes = nameOutputs(lowering, simplified, names).toReversed();
  const { initializers, inputs } = lowering;
  const fed = [...inputs, ...initializers].find(({ name }) => names.includes(name));
  if (fed) throw new ClipError("CLIP_USAGE", `an output and an input are both called "${fed.name}"; rename the output`);
  return { nodes, initializers, inputs, outputs: values };
}

/** The nodes, with the outputs of the program under their names. */
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
  return [...nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
}

/** The nodes whose values are needed: ONNX Runtime would run the others as well, such as a square of which only the sum is wanted. */
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
