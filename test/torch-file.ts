import { TextReader, Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip.js/zip.js";

/** A tensor as PyTorch saves one, float32. */
export interface SavedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** Steps in elements along each axis, where the data are not in its order. */
  readonly strides?: readonly number[];
  /** Another kind of elements, and how many of them the data are. */
  readonly storage?: string;
  readonly elements?: number;
}

/** An object of a class, with its attributes. */
export class SavedObject {
  readonly module: string;
  readonly name: string;
  readonly state: Saved;

  constructor(module: string, name: string, state: Saved) {
    [this.module, this.name, this.state] = [module, name, state];
  }
}

interface SavedStorage {
  readonly data: Float32Array;
  readonly elements: number;
}

/** What a pickle holds: dictionaries are plain objects, tuples arrays, and bytes any opcodes that leave one value. */
export type Saved =
  SavedTensor | SavedObject | Uint8Array | string | number | readonly Saved[] | { readonly [key: string]: Saved };

/** What `torch.save` writes of a value: its zip archive, or its older format. */
export async function torchFile(value: Saved, format: "zip" | "legacy" = "zip"): Promise<Uint8Array> {
  const storages: SavedStorage[] = [];
  const pickle = Buffer.concat([proto, pickled(value, storages), stop]);
  if (format === "legacy") return legacyFile(pickle, storages);
  const zip = new ZipWriter(new Uint8ArrayWriter(), { level: 0, useWebWorkers: false });
  await zip.add("archive/data.pkl", new Uint8ArrayReader(pickle));
  await zip.add("archive/byteorder", new TextReader("little"));
  for (const [key, { data }] of storages.entries())
    await zip.add(`archive/data/${key}`, new Uint8ArrayReader(bytesOf(data)));
  return zip.close();
}

/** A call of a global with a tuple, as opcodes. */
export function reduced(module: string, name: string, args: readonly Saved[]): Uint8Array {
  return Buffer.concat([named(module, name), pickled(args, []), Buffer.from("R")]);
}

const [proto, stop] = [Buffer.from([0x80, 2]), Buffer.from(".")];
const bytesOf = (data: Float32Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const named = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
const isTensor = (value: object): value is SavedTensor => "data" in value && value.data instanceof Float32Array;

function pickled(value: Saved, storages: SavedStorage[]): Uint8Array {
  const join = (...parts: (string | Uint8Array)[]) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const tuple = (items: readonly Saved[]): Uint8Array =>
    join("(", ...items.map((item) => pickled(item, storages)), "t");
  if (value instanceof Uint8Array) return value;
  if (value instanceof SavedObject)
    return join(named(value.module, value.name), ")", Buffer.of(0x81), pickled(value.state, storages), "b");
  if (typeof value === "number") {
    const bytes = Buffer.alloc(5, "J");
    bytes.writeInt32LE(value, 1);
    return bytes;
  }
  if (typeof value === "string") {
    const text = Buffer.from(value);
    const bytes = Buffer.alloc(5, "X");
    bytes.writeUInt32LE(text.length, 1);
    return join(bytes, text);
  }
  if (Array.isArray(value)) return tuple(value as readonly Saved[]);
  if (!isTensor(value)) {
    const items = Object.entries(value).flatMap(([key, item]) => [pickled(key, storages), pickled(item, storages)]);
    return join("}(", ...items, "u");
  }
  const { shape, data, storage: kind = "FloatStorage", elements = data.length } = value;
  const key = String(storages.push({ data, elements }) - 1);
  const inOrder = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const { strides = inOrder } = value;
  const storage = join(tuple(["storage", named("torch", kind), key, "cpu", elements]), "Q");
  const dictionary = reduced("collections", "OrderedDict", []);
  const args = tuple([storage, 0, shape, strides, Buffer.from([0x89]), dictionary]);
  return join(named("torch._utils", "_rebuild_tensor_v2"), args, "R");
}

/** A file of PyTorch's older format around opcodes that leave one value, without storages. */
export function legacyPickle(opcodes: Uint8Array): Uint8Array {
  return legacyFile(Buffer.concat([proto, opcodes, stop]), []);
}

function legacyFile(pickle: Uint8Array, storages: readonly SavedStorage[]): Uint8Array {
  const magic = Buffer.from("8a0a6cfc9c46f9206aa85019", "hex");
  const machine = pickled({ little_endian: Buffer.from([0x88]) }, []);
  const keys = Buffer.concat([
    Buffer.from("]("),
    ...storages.map((_, key) => pickled(String(key), [])),
    Buffer.from("e"),
  ]);
  const pickles = [magic, pickled(1001, []), machine].flatMap((part) => [proto, part, stop]);
  const elements = storages.flatMap(({ data, elements }) => {
    const length = Buffer.alloc(8);
    length.writeBigInt64LE(BigInt(elements));
    return [length, bytesOf(data)];
  });
  return Buffer.concat([...pickles, pickle, proto, keys, stop, ...elements]);
}
