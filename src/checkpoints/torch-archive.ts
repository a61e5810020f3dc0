import { type Entry, type Reader, ZipReader } from "@zip.js/zip.js/lib/zip-core-reader.js";
import { ClipError } from "../core/errors.ts";
import { readRange, realFile, sizeOf } from "../core/files.ts";
import {
  type PickleDialect,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleObject,
  type PickleValue,
  readPickle,
} from "./pickle.ts";
import { elementBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

/** How many bytes of pickle are read at most: a tensor takes about 150. */
const maxPickleBytes = 2 ** 24;

/** What stands before the name and the bytes of an entry of a zip archive. */
const [localHeaderMark, localHeaderBytes] = [0x04034b50, 30];
/** No model's list of contents is as long: an entry takes about 100 bytes. */
const maxDirectoryBytes = 64 * 2 ** 20;
/** So many headers are asked for at once. */
const entriesAtOnce = 64;

/** Modules inside modules; a Transformer's weights lie 6 deep. */
const maxDepth = 64;

const storageDtypes: Readonly<Record<string, StoredDtype>> = {
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.DoubleStorage": "F64",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** A run of elements that tensors look at. */
class Storage extends PickleObject {
  readonly kind = "storage";
  readonly key: string;
  readonly dtype: StoredDtype;
  readonly length: number;

  constructor(key: string, dtype: StoredDtype, length: number) {
    super();
    [this.key, this.dtype, this.length] = [key, dtype, length];
  }
}

/** A view of a storage; offset and strides count elements. */
class TensorView extends PickleObject {
  readonly kind = "tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    super();
    [this.storage, this.offset, this.shape, this.strides] = [storage, offset, shape, strides];
  }
}

/** What a file of PyTorch's holds. */
export interface TorchArchive {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** A TorchScript archive holds the program too; a state dictionary only the tensors. */
  readonly container: "torchScript" | "stateDict";
}

/**
 * Finds the tensors of a file of PyTorch's, of any of its three kinds: a TorchScript archive (OpenAI's `.pt`), `torch.save`'s
 * zip archive, and its older format. Nothing in it is executed, and the bytes of the tensors stay where they are.
 *
 * @throws {ClipError} `CLIP_FILE` if the file cannot be read, `CLIP_CHECKPOINT` if it is damaged or needs what weights do
 *   not need.
 */
export async function openTorchArchive(path: string): Promise<TorchArchive> {
  const damaged = (problem: string) =>
    new ClipError("CLIP_CHECKPOINT", `${path} is no whole file of PyTorch's: ${problem}; download or save it again`);
  const file = await realFile(path);
  const size = (await sizeOf(file)) ?? 0;
  const source = { file, size, damaged };
  try {
    const head = await readRange(file, 0, Math.min(size, 4));
    const { value, spans } = latin1(head) === "PK\x03\x04" ? await readZip(source) : await readLegacy(source);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, view] of tensorViews(value)) {
      const span = spans.get(view.storage.key);
      if (!span) throw damaged(`the elements of "${name}" are missing`);
      tensors.set(name, { file, ...place(name, view, span, damaged) });
    }
    return { tensors, container: value instanceof PickleInstance ? "torchScript" : "stateDict" };
  } catch (error) {
    if (error instanceof PickleError) throw damaged(error.message);
    throw error;
  }
}

/** The bytes that a view looks at; they must lie one behind the other. */
function place(name: string, { storage, offset, shape, strides }: TensorView, span: Span, damaged: Damaged) {
  const count = shape.reduce((product, size) => product * size, 1);
  const wanted = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const contiguous = count === 0 || shape.every((size, axis) => size === 1 || strides[axis] === wanted[axis]);
  if (!contiguous) throw damaged(`"${name}" is a view with steps [${strides.join(", ")}]; save it with .contiguous()`);
  const elements = span.byteLength / elementBytes[storage.dtype];
  if (offset + count > Math.min(storage.length, elements))
    throw damaged(`"${name}" needs elements up to ${offset + count}, its storage has ${Math.floor(elements)}`);
  return {
    dtype: storage.dtype,
    shape,
    byteOffset: span.byteOffset + offset * elementBytes[storage.dtype],
    byteLength: count * elementBytes[storage.dtype],
  };
}

type Damaged = (problem: string) => ClipError;

interface Source {
  readonly file: string;
  readonly size: number;
  readonly damaged: Damaged;
}

/** Where bytes lie in the file. */
interface Span {
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** What an archive describes, and where its storages lie, by key. */
interface Archive {
  readonly value: PickleValue;
  readonly spans: ReadonlyMap<string, Span>;
}

/** `<root>/data.pkl` and `<root>/data/<key>`, not compressed, so that they can be read where they lie. */
async function readZip({ file, size, damaged }: Source): Promise<Archive> {
  const entries = new Map<string, Entry>();
  try {
    for await (const entry of new ZipReader(zipSource(file, size)).getEntriesGenerator()) {
      const name = entry.filename.slice(entry.filename.indexOf("/") + 1);
      if (/^(data\.pkl|byteorder|data\/[^/]+)$/.test(name)) entries.set(name, entry);
    }
  } catch (cause) {
    throw cause instanceof ClipError ? cause : damaged((cause as Error).message);
  }
  const spanOfEntry = async (name: string) => {
    const entry = entries.get(name);
    return entry && spanOf(name, entry, { file, size, damaged });
  };
  const read = async (name: string, limit: number) => {
    const span = await spanOfEntry(name);
    if (!span) return undefined;
    if (span.byteLength > limit)
      throw damaged(`its ${name} has ${span.byteLength} bytes, and ${limit} at most are read`);
    return readRange(file, span.byteOffset, span.byteLength);
  };
  const byteOrder = await read("byteorder", 8);
  if (byteOrder && latin1(byteOrder) !== "little") throw damaged(`its bytes are in ${latin1(byteOrder)}-endian order`);
  const pickle = await read("data.pkl", maxPickleBytes);
  if (!pickle) throw damaged("it has no data.pkl, so it is another kind of archive");
  const storages = new Map<string, Storage>();
  const { value } = readPickle(pickle, dialect(storages));
  const keys = [...storages.keys()];
  const spans = new Map<string, Span>();
  // Side by side, since over a network each takes a while.
  for (let i = 0; i < keys.length; i += entriesAtOnce) {
    const group = keys.slice(i, i + entriesAtOnce);
    const found = await Promise.all(group.map((key) => spanOfEntry(`data/${key}`)));
    found.forEach((span, k) => span && spans.set(group[k]!, span));
  }
  return { value, spans };
}

/** Where the bytes of an entry lie: behind a header of its own, whose length only it knows. */
async function spanOf(name: string, entry: Entry, { file, size, damaged }: Source): Promise<Span> {
  if (entry.compressionMethod !== 0 || entry.encrypted) throw damaged(`${name} is compressed or encrypted`);
  const isInside = Number.isSafeInteger(entry.offset) && entry.offset + localHeaderBytes <= size;
  if (!isInside) throw damaged(`${name} begins behind the end of the file`);
  const header = new DataView((await readRange(file, entry.offset, localHeaderBytes)).buffer);
  if (header.getUint32(0, true) !== localHeaderMark) throw damaged(`${name} is not where its list of contents says`);
  const names = header.getUint16(26, true) + header.getUint16(28, true);
  const span = { byteOffset: entry.offset + localHeaderBytes + names, byteLength: entry.uncompressedSize };
  if (span.byteOffset + span.byteLength > size) throw damaged(`${name} goes on behind the end of the file`);
  return span;
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Five pickles (a magic number, a version, the machine, the object, the keys), then for each key its length and bytes. */
async function readLegacy({ file, size, damaged }: Source): Promise<Archive> {
  const head = await readRange(file, 0, Math.min(size, maxPickleBytes));
  const storages = new Map<string, Storage>();
  let end = 0;
  const next = () => {
    const pickle = readPickle(head, dialect(storages), end);
    end = pickle.end;
    return pickle.value;
  };
  if (next() !== legacyMagic) throw damaged("it begins like none");
  const [, machine, value, keys] = [next(), next(), next(), next()];
  if (!(machine instanceof Map) || machine.get("little_endian") !== true)
    throw damaged("its bytes are in big-endian order");
  if (!(keys instanceof PickleList)) throw damaged("the list of its storages is missing");
  const spans = new Map<string, Span>();
  for (const key of keys.items) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage) throw damaged("it holds a storage that it does not describe");
    if (end + 8 > size) throw damaged("the rest is missing");
    const length = Number(new DataView((await readRange(file, end, 8)).buffer).getBigInt64(0, true));
    if (length !== storage.length) throw damaged(`a storage has ${length} elements, ${storage.length} are described`);
    const byteLength = length * elementBytes[storage.dtype];
    if (end + 8 + byteLength > size) throw damaged("the rest is missing");
    spans.set(storage.key, { byteOffset: end + 8, byteLength });
    end += 8 + byteLength;
  }
  return { value, spans };
}

/** The first number of PyTorch's older format. */
const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** What weight files name; all storages are noted by key. */
const dialect = (storages: Map<string, Storage>): PickleDialect => ({
  functions: {
    "collections.OrderedDict": (args) => {
      if (args.length > 0) throw new PickleError("a dictionary with contents of its own");
      return new Map();
    },
    "torch._utils._rebuild_tensor_v2": ([storage = null, offset = null, shape = null, strides = null]) => {
      const whole = (sizes: PickleValue): sizes is number[] =>
        Array.isArray(sizes) &&
        sizes.length <= 16 &&
        sizes.every((size) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0);
      if (
        !(storage instanceof Storage) ||
        !whole([offset]) ||
        !whole(shape) ||
        !whole(strides) ||
        shape.length !== strides.length
      )
        throw new PickleError("a tensor is not described as tensors are");
      return new TensorView(storage, offset as number, shape, strides);
    },
    "torch._utils._rebuild_parameter": ([tensor]) => {
      if (!(tensor instanceof TensorView)) throw new PickleError("a parameter without a tensor");
      return tensor;
    },
  },
  isValue: (global) => Object.hasOwn(storageDtypes, global.path),
  isClass: ({ module }) => module === "__torch__" || module.startsWith("__torch__."),
  persistent: (id) => {
    const [tag, type, key, , length, view = null] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
    const dtype = type instanceof PickleGlobal ? storageDtypes[type.path] : undefined;
    if (
      tag !== "storage" ||
      !dtype ||
      typeof key !== "string" ||
      typeof length !== "number" ||
      !Number.isSafeInteger(length) ||
      length < 0 ||
      view !== null
    )
      throw new PickleError("a storage is not described as storages are");
    const storage = storages.get(key) ?? new Storage(key, dtype, length);
    if (storage.dtype !== dtype || storage.length !== length) throw new PickleError(`two storages have the key ${key}`);
    storages.set(key, storage);
    return storage;
  },
});

/**
 * All tensors of a state dictionary, or of a module and those inside it, by their names. A training checkpoint of
 * open_clip's has the dictionary under `state_dict`, and `module.` before each name if several processes trained.
 */
function tensorViews(value: PickleValue): Map<string, TensorView> {
  const found = new Map<string, TensorView>();
  const visited = new Set<PickleValue>();
  const visit = (node: PickleValue, prefix: string, depth: number) => {
    const entries = node instanceof PickleInstance ? node.state : node;
    // A module that stands in two places has its name from the first.
    if (!(entries instanceof Map) || visited.has(entries)) return;
    visited.add(entries);
    if (depth > maxDepth) throw new PickleError(`modules lie more than ${maxDepth} deep`);
    for (const [key, child] of entries) {
      if (child instanceof TensorView) found.set(`${prefix}${key}`, child);
      else if (child instanceof PickleInstance) visit(child, `${prefix}${key}.`, depth + 1);
    }
  };
  visit((value instanceof Map && value.get("state_dict")) || value, "", 0);
  if (found.size === 0) throw new PickleError("it describes no tensors by name");
  const names = [...found.keys()];
  if (!names.every((name) => name.startsWith("module."))) return found;
  return new Map(Array.from(found, ([name, view]) => [name.slice("module.".length), view]));
}

/** What the zip reader reads from. Where it reads is what the file says, and may lie anywhere. */
function zipSource(file: string, size: number): Reader<never> {
  const source: Pick<Reader<never>, "size" | "readUint8Array"> = {
    size,
    readUint8Array(index, length) {
      const isInside = Number.isSafeInteger(index) && index >= 0 && length >= 0 && index <= size;
      if (!isInside) return Promise.reject(new Error("its list of contents points behind its end"));
      if (length > maxDirectoryBytes) return Promise.reject(new Error("its list of contents is too long"));
      return readRange(file, index, Math.min(length, size - index));
    },
  };
  return source as Reader<never>;
}
