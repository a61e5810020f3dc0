import { describe, expect, it } from "vitest";
import { readMessage } from "../../../test/engine/read-onnx.ts";
import { ProtobufWriter } from "./protobuf.ts";

const hex = (writer: ProtobufWriter) => Buffer.from(writer.finish()).toString("hex");

describe("the protocol buffer writer", () => {
  // The first three are the examples of protobuf.dev/programming-guides/encoding.
  it.each([
    ["150 in field 1", new ProtobufWriter().int(1, 150), "089601"],
    ['"testing" in field 2', new ProtobufWriter().string(2, "testing"), "120774657374696e67"],
    ["a message in field 3", new ProtobufWriter().message(3, new ProtobufWriter().int(1, 150)), "1a03089601"],
    ["0, which proto3 would leave out but a shape or an axis needs", new ProtobufWriter().int(8, 0), "4000"],
    ["a field number of two bytes", new ProtobufWriter().int(20, 7), "a00107"],
    ["−1 in ten bytes", new ProtobufWriter().int(1, -1), "08ffffffffffffffffff01"],
    ["the largest signed number", new ProtobufWriter().int(1, 2n ** 63n - 1n), "08ffffffffffffffff7f"],
    ["1.5 as four bytes", new ProtobufWriter().float(2, 1.5), "150000c03f"],
    ["text beyond ASCII", new ProtobufWriter().string(1, "é×"), "0a04c3a9c397"],
    ["no bytes", new ProtobufWriter().bytes(9, new Uint8Array()), "4a00"],
  ])("writes %s", (_, writer, bytes) => expect(hex(writer)).toBe(bytes));

  it("writes lengths as varints of every size, read back by an independent reader", () => {
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 2_097_152]) {
      const content = new Uint8Array(length).fill(7);
      const [[field, value], ...rest] = readMessage(
        new ProtobufWriter().message(5, new ProtobufWriter().bytes(9, content)).finish(),
      ) as [readonly [number, Uint8Array]];
      expect(field).toBe(5);
      expect(rest).toEqual([]);
      const [[innerField, inner]] = readMessage(value) as [readonly [number, Uint8Array]];
      expect(innerField).toBe(9);
      expect(Buffer.compare(inner, content)).toBe(0);
    }
  });
});
