/** A field of a protocol buffer message: a number, or bytes (strings, messages, floats). */
type Field = readonly [number: number, value: bigint | Uint8Array];

/** The fields of a message, in order. */
export function readMessage(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, value);
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) fields.push([tag >> 3, varint()]);
    else {
      const length = (tag & 7) === 5 ? 4 : Number(varint());
      fields.push([tag >> 3, bytes.subarray(at, (at += length))]);
    }
  }
  return fields;
}

/** A node of an ONNX graph, with numbers and strings for its attributes. */
export interface ReadNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** What a ModelProto's graph holds. Field numbers as in onnx.proto3: graph 7; node 1, initializer 5, input 11, output 12. */
export function readOnnx(model: Uint8Array) {
  const graph = readMessage(all(readMessage(model), 7)[0]!);
  return {
    nodes: all(graph, 1).map((bytes): ReadNode => {
      const node = readMessage(bytes);
      return { opType: text(all(node, 4)[0]!), inputs: all(node, 1).map(text), outputs: all(node, 2).map(text) };
    }),
    initializers: all(graph, 5).map((bytes) => text(all(readMessage(bytes), 8)[0]!)),
    inputs: all(graph, 11).map((bytes) => text(all(readMessage(bytes), 1)[0]!)),
    outputs: all(graph, 12).map((bytes) => text(all(readMessage(bytes), 1)[0]!)),
  };
}

function all(fields: readonly Field[], wanted: number): Uint8Array[] {
  return fields.flatMap(([number, value]) => (number === wanted && typeof value === "object" ? [value] : []));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
