import type { Dtype } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { OnnxAttribute, OnnxInitializer, OnnxNode } from "./lowering.ts";
import { ProtobufWriter } from "./protobuf.ts";

/** TensorProto.DataType. */
export const onnxDtypes = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
} satisfies Record<Dtype, number>;

export interface OnnxParts {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** A named input or output of a model. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
}

const opset = 20;
const irVersion = 10;

/**
 * Encodes a ModelProto, with the field numbers of onnx.proto3.
 * @see {@link https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 | onnx.proto3}
 */
export function encodeModel({ nodes, initializers, inputs, outputs }: OnnxParts): ProtobufWriter {
  const graph = new ProtobufWriter().string(2, "clip-ts");
  for (const node of nodes) graph.message(1, encodeNode(node));
  for (const initializer of initializers) graph.message(5, encodeInitializer(initializer));
  for (const value of inputs) graph.message(11, encodeValue(value));
  for (const value of outputs) graph.message(12, encodeValue(value));
  const operatorSet = (domain: string, version: number) => new ProtobufWriter().string(1, domain).int(2, version);
  return new ProtobufWriter()
    .int(1, irVersion)
    .string(2, "clip-ts")
    .message(7, graph)
    .message(8, operatorSet("", opset))
    .message(8, operatorSet("com.microsoft", 1));
}

function encodeNode({ name, opType, domain, inputs, outputs, attributes }: OnnxNode): ProtobufWriter {
  const node = new ProtobufWriter();
  for (const value of inputs) node.string(1, value);
  for (const value of outputs) node.string(2, value);
  node.string(3, name).string(4, opType).string(7, domain);
  for (const [key, value] of Object.entries(attributes)) node.message(5, encodeAttribute(key, value));
  return node;
}

function encodeAttribute(name: string, value: OnnxAttribute): ProtobufWriter {
  const attribute = new ProtobufWriter().string(1, name);
  if (typeof value === "number") return attribute.int(3, value).int(20, 2);
  if (typeof value === "string") return attribute.string(4, value).int(20, 3);
  if ("float" in value) return attribute.float(2, value.float).int(20, 1);
  for (const item of value) attribute.int(8, item);
  return attribute.int(20, 7);
}

function encodeInitializer({ name, dtype, shape, content }: OnnxInitializer): ProtobufWriter {
  const tensor = new ProtobufWriter();
  for (const size of shape) tensor.int(1, size);
  tensor.int(2, onnxDtypes[dtype]).string(8, name);
  if (content instanceof Uint8Array || "read" in content) return tensor.bytes(9, content);
  const entries = { location: content.file, offset: content.byteOffset, length: content.byteLength };
  for (const [key, value] of Object.entries(entries)) {
    tensor.message(13, new ProtobufWriter().string(1, key).string(2, String(value)));
  }
  return tensor.int(14, 1);
}

function encodeValue({ name, dtype, shape }: OnnxValue): ProtobufWriter {
  const dims = new ProtobufWriter();
  for (const dim of shape) {
    const encoded = new ProtobufWriter();
    dims.message(1, typeof dim === "number" ? encoded.int(1, dim) : encoded.string(2, dim));
  }
  const tensorType = new ProtobufWriter().int(1, onnxDtypes[dtype]).message(2, dims);
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensorType));
}
