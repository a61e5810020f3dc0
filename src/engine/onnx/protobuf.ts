import { assert } from "../../core/errors.ts";

/** Bytes produced only when they are written. */
export interface DeferredBytes {
  readonly byteLength: number;
  readonly read: () => Promise<Uint8Array>;
}

/**
 * Writes the Protocol Buffers wire format: varints, 32 and 64-bit floats, and length-delimited bytes.
 * @see {@link https://protobuf.dev/programming-guides/encoding/ | Protocol Buffers, Encoding}
 */
export class ProtobufWriter {
  readonly #chunks: (Uint8Array | DeferredBytes)[] = [];
  #length = 0;

  /** Writes an integer in the signed 64-bit range. */
  int(field: number, value: number | bigint): this {
    return this.#varint(field << 3).#varint(value);
  }
  float(field: number, value: number): this {
    return this.#varint((field << 3) | 5).#raw(new Uint8Array(Float32Array.of(value).buffer));
  }
  double(field: number, value: number): this {
    return this.#varint((field << 3) | 1).#raw(new Uint8Array(Float64Array.of(value).buffer));
  }
  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }
  message(field: number, value: ProtobufWriter): this {
    this.#varint((field << 3) | 2).#varint(value.#length);
    for (const chunk of value.#chunks) this.#raw(chunk);
    return this;
  }
  /** Writes bytes, kept by reference until then. */
  bytes(field: number, value: Uint8Array | DeferredBytes): this {
    return this.#varint((field << 3) | 2)
      .#varint(value.byteLength)
      .#raw(value);
  }
  get byteLength(): number {
    return this.#length;
  }
  /** All bytes; none may be deferred. */
  finish(): Uint8Array {
    const whole = this.#chunks.filter((chunk) => chunk instanceof Uint8Array);
    assert(whole.length === this.#chunks.length, "deferred bytes must be written by pieces()");
    return join(whole);
  }
  /** Bytes in pieces; deferred ones are produced in turn. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    let between: Uint8Array[] = [];
    for (const chunk of this.#chunks) {
      if (chunk instanceof Uint8Array) between.push(chunk);
      else {
        yield join(between);
        between = [];
        yield await chunk.read();
      }
    }
    yield join(between);
  }

  #raw(chunk: Uint8Array | DeferredBytes): this {
    this.#chunks.push(chunk);
    this.#length += chunk.byteLength;
    return this;
  }
  #varint(value: number | bigint): this {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
    bytes.push(Number(rest));
    return this.#raw(Uint8Array.from(bytes));
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
