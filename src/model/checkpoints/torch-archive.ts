import { type Reader, ZipReader } from "@zip.js/zip.js/lib/zip-core-reader.js";
import { ClipError } from "../../core/errors.ts";
import { cut } from "../../core/listing.ts";
import { readRange, realFile, fileSize } from "../../core/files.ts";
import { readPickle } from "./pickle.ts";
import {
  type PickleDialect,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleObject,
  type PickleValue,
} from "./pickle-values.ts";
import type { TensorGroups } from "./names/model-tensors.ts";
import { elementBytes, type StoredDtype, type StoredTensor } from "./stored-tensor.ts";

/** Limit of a pickle's size in bytes; a tensor takes about 150. */
const maxPickleBytes = 2 ** 24;

/** Signature and size of the header before each entry of a zip archive. */
const [localHeaderMark, localHeaderBytes] = [0x04034b50, 30];
/** Limit of a zip directory's size in bytes; an entry takes about 100. */
const maxDirectoryBytes = 64 * 2 ** 20;
/** Limit of zip entries; a model has some hundreds, one per storage. */
const maxEntries = 100_000;
/** Entry headers read concurrently. */
const entriesAtOnce = 64;

/** Limit of characters in the names of all tensors, which are concatenated keys. */
const maxNameCharacters = 2 ** 25;

/** Limit of nested modules or dictionaries; a Transformer's weights are 6 deep. Deeper ones are ignored. */
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

/** Element sizes of unsupported dtypes, which may precede the weights in the legacy format. */
const otherElementBytes: Readonly<Record<string, number>> = {
  "torch.ComplexFloatStorage": 8,
  "torch.ComplexDoubleStorage": 16,
  "torch.QInt8Storage": 1,
  "torch.QUInt8Storage": 1,
  "torch.QInt32Storage": 4,
  "torch.UntypedStorage": 1,
  "torch.storage.UntypedStorage": 1,
};

/** A contiguous buffer that tensors are views of. */
class Storage extends PickleObject {
  readonly kind = "storage";
  readonly key: string;
  readonly type: PickleGlobal;
  readonly length: number;

  constructor(key: string, type: PickleGlobal, length: number) {
    super();
    [this.key, this.type, this.length] = [key, type, length];
  }

  /** Undefined for unsupported dtypes. */
  get dtype(): StoredDtype | undefined {
    return Object.hasOwn(storageDtypes, this.type.path) ? storageDtypes[this.type.path] : undefined;
  }

  get elementBytes(): number | undefined {
    const { dtype } = this;
    if (dtype) return elementBytes[dtype];
    return Object.hasOwn(otherElementBytes, this.type.path) ? otherElementBytes[this.type.path] : undefined;
  }
}

/** A view of a storage; offset and strides count elements. */
class TensorView extends PickleObject {
  readonly kind = "tensor";
  readonly storage: Storage;
  readonly dtype: StoredDtype;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: Storage,
    dtype: StoredDtype,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    super();
    [this.storage, this.dtype, this.offset, this.shape, this.strides] = [storage, dtype, offset, shape, strides];
  }
}

export interface TorchArchive {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Entries among the tensors that would need code to be run, by the class or function that makes them. */
  readonly opaque: ReadonlyMap<string, string>;
  /** A TorchScript archive also holds the program; a state dictionary only tensors. */
  readonly container: "torchScript" | "stateDict";
}

/**
 * Locates the tensors in a PyTorch file: a TorchScript archive (OpenAI's `.pt`), a zip archive by `torch.save`, or its legacy
 * format. Nothing in it is executed.
 *
 * @param choose - selects the wanted tensors, such as a model's and not the optimizer's.
 * @throws {ClipError} `CLIP_FILE` if the file cannot be read, `CLIP_CHECKPOINT` if it is damaged or has no tensors.
 */
export async function openTorchArchive(
  path: string,
  choose: <Value>(groups: TensorGroups<Value>) => ReadonlyMap<string, Value>,
): Promise<TorchArchive> {
  const damaged = (problem: string) =>
    new ClipError("CLIP_CHECKPOINT", `${path} is not a valid PyTorch file: ${problem}; download or save it again`);
  const file = await realFile(path);
  const size = (await fileSize(file)) ?? 0;
  const source = { file, size, damaged };
  try {
    const head = await readRange(file, 0, Math.min(size, 4));
    const { value, spans } = latin1(head) === "PK\x03\x04" ? await readZip(source) : await readLegacy(source);
    const tensors = new Map<string, StoredTensor>();
    const opaque = new Map<string, string>();
    for (const [name, view] of choose(tensorGroups(value))) {
      if (view instanceof TensorView) tensors.set(name, { file, ...place(name, view, spans, path, damaged) });
      else opaque.set(name, view.type.path);
    }
    if (tensors.size === 0)
      throw new ClipError("CLIP_CHECKPOINT", `${path} holds no named tensors; give the file with the model's weights`);
    const isProgram = value instanceof PickleInstance && /^__torch__(\.|$)/.test(value.type.module);
    return { tensors, opaque, container: isProgram ? "torchScript" : "stateDict" };
  } catch (error) {
    if (error instanceof PickleError) throw damaged(error.message);
    throw error;
  }
}

/** The byte range of a view, which must be dense; its axes may be in any order. */
function place(
  fullName: string,
  { storage, dtype, offset, shape, strides }: TensorView,
  spans: Archive["spans"],
  path: string,
  damaged: Damaged,
) {
  const name = cut(fullName);
  const span = spans.get(storage.key);
  if (!span) throw damaged(`the elements of "${name}" are missing`);
  const count = shape.reduce((product, size) => product * size, 1);
  const order = orderOf(shape, strides);
  if (!order) {
    const view = `"${name}", [${shape.join(", ")}] in steps of [${strides.join(", ")}], repeats or skips elements`;
    throw new ClipError("CLIP_CHECKPOINT", `${path}: ${view}; save it with .contiguous()`);
  }
  const elements = span.byteLength / elementBytes[dtype];
  if (offset + count > Math.min(storage.length, elements))
    throw damaged(`"${name}" needs elements up to ${offset + count}, its storage has ${Math.floor(elements)}`);
  const isInOrder = order.every((axis, i) => axis === i);
  return {
    dtype,
    shape,
    ...(!isInOrder && { order }),
    byteOffset: span.byteOffset + offset * elementBytes[dtype],
    byteLength: count * elementBytes[dtype],
  };
}

/** A view's axes in memory order, outermost first; undefined if the view is not dense. */
function orderOf(shape: readonly number[], strides: readonly number[]): number[] | undefined {
  const axes = shape.map((_, axis) => axis);
  if (shape.includes(0)) return axes;
  const long = axes.filter((axis) => shape[axis] !== 1).sort((a, b) => strides[b]! - strides[a]!);
  let step = 1;
  for (const axis of long.toReversed()) {
    if (strides[axis] !== step) return undefined;
    step *= shape[axis]!;
  }
  // Axes of size 1 may be anywhere.
  const isInOrder = long.every((axis, i) => i === 0 || axis > long[i - 1]!);
  return isInOrder ? axes : [...axes.filter((axis) => shape[axis] === 1), ...long];
}

type Damaged = (problem: string) => ClipError;

interface Source {
  readonly file: string;
  readonly size: number;
  readonly damaged: Damaged;
}

/** A byte range of the file. */
interface Span {
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** An archive's object, and the byte ranges of its storages by key. */
interface Archive {
  readonly value: PickleValue;
  readonly spans: ReadonlyMap<string, Span>;
}

/** The needed fields of a zip entry; the library's own objects are large. */
interface Entry {
  readonly offset: number;
  readonly uncompressedSize: number;
  readonly isPlain: boolean;
}

/** Reads `<root>/data.pkl` and locates `<root>/data/<key>`; both must be uncompressed. */
async function readZip({ file, size, damaged }: Source): Promise<Archive> {
  const entries = new Map<string, Entry>();
  let count = 0;
  try {
    for await (const entry of new ZipReader(zipSource(file, size)).getEntriesGenerator()) {
      if (++count > maxEntries) throw damaged(`it has more than ${maxEntries} entries`);
      const { filename, offset, uncompressedSize } = entry;
      const name = filename.slice(filename.indexOf("/") + 1);
      const isPlain = entry.compressionMethod === 0 && !entry.encrypted;
      if (/^(data\.pkl|byteorder|data\/[^/]+)$/.test(name)) entries.set(name, { offset, uncompressedSize, isPlain });
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
      throw damaged(`its ${name} has ${span.byteLength} bytes, more than the limit of ${limit}`);
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
  // Concurrently, since each takes a round trip over a network.
  for (let i = 0; i < keys.length; i += entriesAtOnce) {
    const group = keys.slice(i, i + entriesAtOnce);
    const found = await Promise.all(group.map((key) => spanOfEntry(`data/${key}`)));
    found.forEach((span, k) => span && spans.set(group[k]!, span));
  }
  return { value, spans };
}

/** The byte range of an entry, after a local header of variable length. */
async function spanOf(name: string, entry: Entry, { file, size, damaged }: Source): Promise<Span> {
  if (!entry.isPlain) throw damaged(`${name} is compressed or encrypted`);
  const isInside = Number.isSafeInteger(entry.offset) && entry.offset + localHeaderBytes <= size;
  if (!isInside) throw damaged(`${name} begins after the end of the file`);
  const header = new DataView((await readRange(file, entry.offset, localHeaderBytes)).buffer);
  if (header.getUint32(0, true) !== localHeaderMark) throw damaged(`${name} is not at the offset in its directory`);
  const names = header.getUint16(26, true) + header.getUint16(28, true);
  const span = { byteOffset: entry.offset + localHeaderBytes + names, byteLength: entry.uncompressedSize };
  if (span.byteOffset + span.byteLength > size) throw damaged(`${name} extends beyond the end of the file`);
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
  if (next() !== legacyMagic) throw damaged("unknown format");
  const [, machine, value, keys] = [next(), next(), next(), next()];
  if (!(machine instanceof Map) || machine.get("little_endian") !== true)
    throw damaged("its bytes are in big-endian order");
  if (!(keys instanceof PickleList)) throw damaged("the list of its storages is missing");
  const spans = new Map<string, Span>();
  for (const key of keys.items) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage) throw damaged("it holds an undescribed storage");
    if (end + 8 > size) throw damaged("the rest is missing");
    const length = Number(new DataView((await readRange(file, end, 8)).buffer).getBigInt64(0, true));
    if (length !== storage.length) throw damaged(`a storage has ${length} elements instead of ${storage.length}`);
    if (storage.elementBytes === undefined) throw damaged(`the element size of ${cut(storage.type.path)} is unknown`);
    const byteLength = length * storage.elementBytes;
    if (end + 8 + byteLength > size) throw damaged("the rest is missing");
    spans.set(storage.key, { byteOffset: end + 8, byteLength });
    end += 8 + byteLength;
  }
  return { value, spans };
}

/** Magic number of PyTorch's legacy format. */
const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** The calls in a pickle of weights; `storages` collects all storages by key. */
const dialect = (storages: Map<string, Storage>): PickleDialect => {
  const tensor = ([storage = null, offset = null, shape = null, strides = null]: readonly PickleValue[]) => {
    if (storage instanceof Storage && !storage.dtype) return new PickleInstance(storage.type);
    const whole = (sizes: PickleValue): sizes is number[] =>
      Array.isArray(sizes) &&
      sizes.length <= 16 &&
      sizes.every((size) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0);
    if (
      !(storage instanceof Storage) ||
      !storage.dtype ||
      !whole([offset]) ||
      !whole(shape) ||
      !whole(strides) ||
      shape.length !== strides.length
    )
      throw new PickleError("a tensor is not described as tensors are");
    return new TensorView(storage, storage.dtype, offset as number, shape, strides);
  };
  const parameter = ([of = null]: readonly PickleValue[]) => {
    if (of instanceof TensorView || of instanceof PickleInstance) return of;
    throw new PickleError("a parameter has no tensor");
  };
  const dictionary = ([pairs]: readonly PickleValue[]) => new Map(pairs instanceof PickleList ? pairsOf(pairs) : []);
  const functions: PickleDialect["functions"] = {
    "collections.OrderedDict": dictionary,
    "collections.defaultdict": () => new Map(),
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter,
    // A tensor with Python attributes.
    "torch._tensor._rebuild_from_type_v2": ([make = null, , args = null]) => {
      if (!(make instanceof PickleGlobal) || !Array.isArray(args)) throw new PickleError("a tensor has no constructor");
      const known = make.path === "torch._utils._rebuild_tensor_v2" ? tensor : undefined;
      return known ? known(args as readonly PickleValue[]) : new PickleInstance(make);
    },
  };
  return { functions, persistent: (id) => storageOf(id, storages) };
};

/** Entries of a dictionary in the older form, a list of pairs. */
function pairsOf({ items }: PickleList): [PickleValue, PickleValue][] {
  return items.map((pair) => {
    const [key, value] = pair instanceof PickleList ? pair.items : Array.isArray(pair) ? (pair as PickleValue[]) : [];
    if (key === undefined || value === undefined) throw new PickleError("a key has no value");
    return [key, value];
  });
}

function storageOf(id: PickleValue, storages: Map<string, Storage>): PickleValue {
  const [tag, type, key, , length, view = null] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
  // The legacy format includes the source of a class; its name suffices.
  if (tag === "module" && type instanceof PickleGlobal) return type;
  const described =
    tag === "storage" &&
    type instanceof PickleGlobal &&
    typeof key === "string" &&
    typeof length === "number" &&
    Number.isSafeInteger(length) &&
    length >= 0 &&
    view === null;
  if (!described) throw new PickleError("a storage has a malformed description");
  const storage = storages.get(key) ?? new Storage(key, type, length);
  if (storage.type.path !== type.path || storage.length !== length)
    throw new PickleError(`two storages have the key ${key}`);
  storages.set(key, storage);
  return storage;
}

/** All tensors in a value, by dictionary; a module with its submodules counts as one dictionary. */
function tensorGroups(value: PickleValue): Map<string, Map<string, TensorView | PickleInstance>> {
  const groups = new Map<string, Map<string, TensorView | PickleInstance>>();
  // A shared value is listed once, at its first occurrence.
  const visited = new Set<PickleValue>();
  const isNew = (node: PickleValue) => !visited.has(node) && visited.add(node);
  let characters = 0;
  const add = (group: string, name: string, found: TensorView | PickleInstance) => {
    if ((characters += group.length + name.length) > maxNameCharacters)
      throw new PickleError("the names of its tensors are too long");
    const names = groups.get(group) ?? new Map<string, TensorView | PickleInstance>();
    groups.set(group, names.set(name, found));
  };
  const visitModule = (module: PickleInstance, group: string, prefix: string, depth: number) => {
    if (depth > maxDepth || !isNew(module) || !(module.state instanceof Map)) return;
    const members = [...module.state];
    // A Python module keeps its members in three dictionaries, a TorchScript module as attributes.
    const inside = ["_parameters", "_buffers", "_modules"].map((name) =>
      (module.state as Map<string, PickleValue>).get(name),
    );
    for (const inner of inside)
      if (inner instanceof Map && isNew(inner)) for (const member of inner) members.push(member);
    for (const [key, child] of members) {
      if (typeof key !== "string") continue;
      if (child instanceof TensorView) add(group, `${prefix}${key}`, child);
      else if (child instanceof PickleInstance) visitModule(child, group, `${prefix}${key}.`, depth + 1);
    }
  };
  const visit = (node: PickleValue, group: string, depth: number) => {
    if (node instanceof PickleInstance) {
      visitModule(node, group, "", depth);
      visit(node.items, group, depth);
      return;
    }
    const items = node instanceof PickleList ? node.items : Array.isArray(node) ? (node as readonly PickleValue[]) : [];
    const children = node instanceof Map ? node : items.entries();
    if (depth > maxDepth || !isNew(node)) return;
    for (const [key, child] of children) {
      if (typeof key !== "string" && typeof key !== "number") continue;
      if (child instanceof TensorView) add(group, String(key), child);
      else if (typeof child === "object" && child !== null) {
        if (child instanceof PickleInstance) add(group, String(key), child);
        visit(child, `${group}${key}.`, depth + 1);
      }
    }
  };
  visit(value, "", 0);
  return groups;
}

/** Bounded reads for the zip reader, whose offsets come from the file and may be anything. */
function zipSource(file: string, size: number): Reader<never> {
  const source: Pick<Reader<never>, "size" | "readUint8Array"> = {
    size,
    readUint8Array(index, length) {
      const isInside = Number.isSafeInteger(index) && index >= 0 && length >= 0 && index <= size;
      if (!isInside) return Promise.reject(new Error("its directory points beyond its end"));
      if (length > maxDirectoryBytes) return Promise.reject(new Error("its directory is too long"));
      return readRange(file, index, Math.min(length, size - index));
    },
  };
  return source as Reader<never>;
}
