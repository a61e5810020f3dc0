/*
 * Reads PyTorch's pickles without executing them. A pickle is a program for a stack machine; this one builds plain values and
 * calls only the functions of a {@link PickleDialect}. Any other class or function gives a {@link PickleInstance}, which has
 * only a name and a state. An opcode costs time and memory in proportion to its own bytes, and their number is limited.
 *
 * @see {@link https://github.com/python/cpython/blob/3.11/Lib/pickletools.py | CPython} `Lib/pickletools.py` for the opcodes.
 */

/** A value in a pickle. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleGlobal
  | PickleInstance
  | PickleList
  | PickleObject
  | readonly PickleValue[]
  | Map<PickleValue, PickleValue>;

/** Limit of opcodes; a tensor takes about 40. */
const maxOpcodes = 4_000_000;
/** Limit of lists, dictionaries, tuples and objects, of some 200 bytes each; a tensor takes about 7. */
const maxObjects = 500_000;
/** Limit of characters in the name of a class or function. */
const maxNameLength = 1_000;

/** A Python list; tuples are arrays. */
export class PickleList {
  readonly items: PickleValue[] = [];
}

/** Base class of the objects that a dialect's functions return. */
export abstract class PickleObject {
  abstract readonly kind: string;
}

/** A reference to a class or function. Nothing is imported. */
export class PickleGlobal {
  readonly module: string;
  /** `module.name` */
  readonly path: string;

  constructor(module: string, name: string) {
    [this.module, this.path] = [module, `${module}.${name}`];
  }
}

/** The result of a class or function outside the dialect: its state and items, without any behaviour. */
export class PickleInstance {
  state: PickleValue = null;
  /** Entries of a subclass of dict. */
  readonly items = new Map<PickleValue, PickleValue>();

  readonly type: PickleGlobal;

  constructor(type: PickleGlobal) {
    this.type = type;
  }
}

/** The calls that a pickle may make. */
export interface PickleDialect {
  /** Callable functions, by `module.name`. */
  readonly functions: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>>;
  /** Resolves a persistent id. */
  persistent(id: PickleValue): PickleValue;
}

/** A damaged or oversized pickle; the message has the byte. */
export class PickleError extends Error {}

/**
 * Reads the pickle at `start`; returns its value and its end.
 *
 * @throws {PickleError} if it is malformed, with the byte.
 */
export function readPickle(bytes: Uint8Array, dialect: PickleDialect, start = 0): { value: PickleValue; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const memo = new Map<number, PickleValue>();
  /** The saved stack of each open mark. */
  const below: PickleValue[][] = [];
  let stack: PickleValue[] = [];
  let at = start;

  /** Skips `length` bytes and returns where they began. */
  const take = (length: number): number => {
    if (length > bytes.length - at) throw new PickleError("it ends too early");
    return (at += length) - length;
  };
  const uint8 = () => view.getUint8(take(1));
  const uint16 = () => view.getUint16(take(2), true);
  const uint32 = () => view.getUint32(take(4), true);
  const uint64 = () => Number(view.getBigUint64(take(8), true));
  const text = (length: number) => {
    const from = take(length);
    try {
      return utf8.decode(bytes.subarray(from, from + length));
    } catch {
      throw new PickleError("a text is not UTF-8");
    }
  };
  const latin1 = (length: number) => {
    const from = take(length);
    return Array.from(bytes.subarray(from, from + length), (byte) => String.fromCharCode(byte)).join("");
  };
  const line = () => {
    const end = bytes.indexOf(newline, at);
    if (end < 0) throw new PickleError("a name is unterminated");
    const name = text(end - at);
    at++;
    return name;
  };

  let objects = 0;
  const push = (value: PickleValue) => void stack.push(value);
  /** Creates a value after counting its objects against the limit. */
  const make = <Made>(made: () => Made, count = 1): Made => {
    if ((objects += count) > maxObjects) throw new PickleError(`it makes more than ${maxObjects} objects`);
    return made();
  };
  const pushNew = (made: () => PickleValue) => push(make(made));
  const pop = (): PickleValue => {
    if (stack.length === 0) throw new PickleError("the stack is empty");
    return stack.pop()!;
  };
  const top = (): PickleValue => {
    if (stack.length === 0) throw new PickleError("the stack is empty");
    return stack.at(-1)!;
  };
  /** Pops all values since the last mark. */
  const popMark = (): PickleValue[] => {
    const values = stack;
    const before = below.pop();
    if (!before) throw new PickleError("a mark is missing");
    stack = before;
    return values;
  };
  const popMany = (count: number): PickleValue[] => Array.from({ length: count }, pop).reverse();

  const append = (values: readonly PickleValue[]) => {
    const list = top();
    if (list instanceof PickleInstance) return;
    if (!(list instanceof PickleList)) throw new PickleError("an append to something other than a list");
    for (const value of values) list.items.push(value);
  };
  const setItems = (pairs: readonly PickleValue[]) => {
    const object = top();
    const dict = object instanceof PickleInstance ? object.items : object;
    if (!(dict instanceof Map)) throw new PickleError("items for something other than a dictionary");
    if (pairs.length % 2 !== 0) throw new PickleError("a key has no value");
    for (let i = 0; i < pairs.length; i += 2) dict.set(pairs[i]!, pairs[i + 1]!);
  };
  const recall = (index: number) => {
    if (!memo.has(index)) throw new PickleError(`memo entry ${index} does not exist`);
    push(memo.get(index)!);
  };
  const remember = (index: number) => void memo.set(index, top());

  const name = (module: PickleValue, attribute: PickleValue) => {
    if (typeof module !== "string" || typeof attribute !== "string") throw new PickleError("a name is not a text");
    if (module.length + attribute.length > maxNameLength)
      throw new PickleError(`a name has more than ${maxNameLength} characters`);
    pushNew(() => new PickleGlobal(module, attribute));
  };
  /** The only place that calls anything: a function of the dialect. */
  const call = (callee: PickleValue, args: PickleValue) => {
    // The result of an unknown function may be called too.
    const target = callee instanceof PickleInstance ? callee.type : callee;
    if (!(target instanceof PickleGlobal) || !Array.isArray(args))
      throw new PickleError("a call of something other than a function or class");
    const known = target === callee && Object.hasOwn(dialect.functions, target.path);
    if (!known) return pushNew(() => new PickleInstance(target));
    // A function may copy its list arguments, and get the same list repeatedly.
    const items = (args as PickleValue[]).map((value) => (value instanceof PickleList ? value.items.length : 0));
    const count = items.reduce((sum, length) => sum + length, 1);
    push(make(() => dialect.functions[target.path]!(args as PickleValue[]), count));
  };
  const skip = (length: number) => {
    take(length);
    pushNew(() => new PickleInstance(bytesType));
  };
  const build = () => {
    const state = pop();
    const instance = top();
    // State of other objects (dictionaries, tensors) is irrelevant here.
    if (instance instanceof PickleInstance) instance.state = state;
    else if (typeof instance !== "object" || instance === null)
      throw new PickleError("a state for something other than an object");
  };

  const opcodes: Readonly<Record<number, () => void>> = {
    [code("N")]: () => push(null),
    [code("I")]: () => push(number(line())),
    [code("F")]: () => push(number(line())),
    [code("L")]: () => push(number(line().replace(/L$/, ""))),
    0x88: () => push(true),
    0x89: () => push(false),
    [code("K")]: () => push(uint8()),
    [code("M")]: () => push(uint16()),
    [code("J")]: () => push(view.getInt32(take(4), true)),
    0x8a: () => {
      const length = uint8();
      const from = take(length);
      push(littleEndian(bytes.subarray(from, from + length)));
    },
    [code("G")]: () => push(view.getFloat64(take(8))),
    [code("X")]: () => push(text(uint32())),
    0x8c: () => push(text(uint8())),
    0x8d: () => push(text(uint64())),
    [code("V")]: () => push(line()),
    // Python 2's strings, and bytes, whose contents weights do not need.
    [code("S")]: () => push(line().replace(/^(['"])(.*)\1$/, "$2")),
    [code("T")]: () => push(latin1(uint32())),
    [code("U")]: () => push(latin1(uint8())),
    [code("B")]: () => skip(uint32()),
    [code("C")]: () => skip(uint8()),
    0x8e: () => skip(uint64()),
    0x96: () => skip(uint64()),

    [code("(")]: () => {
      below.push(stack);
      stack = make(() => []);
    },
    [code("0")]: () => void (stack.length > 0 ? pop() : popMark()),
    [code("1")]: () => void popMark(),
    [code("2")]: () => push(top()),
    [code(")")]: () => pushNew(() => []),
    [code("t")]: () => push(popMark()),
    0x85: () => pushNew(() => popMany(1)),
    0x86: () => pushNew(() => popMany(2)),
    0x87: () => pushNew(() => popMany(3)),
    [code("]")]: () => pushNew(() => new PickleList()),
    [code("l")]: () => {
      const values = popMark();
      pushNew(() => new PickleList());
      append(values);
    },
    [code("a")]: () => append([pop()]),
    [code("e")]: () => append(popMark()),
    0x8f: () => pushNew(() => new PickleList()), // a set
    0x90: () => append(popMark()),
    0x91: () => push(popMark()),
    [code("}")]: () => pushNew(() => new Map()),
    [code("d")]: () => {
      const pairs = popMark();
      pushNew(() => new Map());
      setItems(pairs);
    },
    [code("s")]: () => setItems(popMany(2)),
    [code("u")]: () => setItems(popMark()),

    [code("p")]: () => remember(number(line())),
    [code("q")]: () => remember(uint8()),
    [code("r")]: () => remember(uint32()),
    0x94: () => remember(memo.size),
    [code("g")]: () => recall(number(line())),
    [code("h")]: () => recall(uint8()),
    [code("j")]: () => recall(uint32()),

    [code("c")]: () => name(line(), line()),
    0x93: () => {
      const [module, attribute] = popMany(2);
      name(module!, attribute!);
    },
    [code("Q")]: () => push(dialect.persistent(pop())),
    [code("R")]: () => {
      const [callee, args] = popMany(2);
      call(callee!, args!);
    },
    0x81: () => {
      const [type, args] = popMany(2);
      call(type!, args!);
    },
    0x92: () => {
      const [type, args] = popMany(3);
      call(type!, args!);
    },
    [code("i")]: () => {
      name(line(), line());
      const type = pop();
      call(type, popMark());
    },
    [code("o")]: () => {
      const [type = null, ...args] = popMark();
      call(type, args);
    },
    [code("b")]: build,

    0x80: () => void uint8(), // protocol version
    0x95: () => void take(8), // frame length, for readers of streams
  };

  for (let count = 1; ; count++) {
    const begin = at;
    try {
      if (count > maxOpcodes) throw new PickleError(`it has more than ${maxOpcodes} opcodes`);
      const opcode = uint8();
      if (opcode === code(".")) return { value: pop(), end: at };
      if (!opcodes[opcode]) throw new PickleError(`opcode 0x${opcode.toString(16)} is not supported`);
      opcodes[opcode]();
    } catch (error) {
      if (error instanceof PickleError) error.message = `at byte ${begin - start} of the pickle: ${error.message}`;
      throw error;
    }
  }
}

/** Parses a decimal number. */
function number(text: string): number {
  const value = Number(text);
  if (text === "" || Number.isNaN(value)) throw new PickleError("a number is malformed");
  return value;
}

const bytesType = new PickleGlobal("builtins", "bytes");
const utf8 = new TextDecoder("utf-8", { fatal: true });
const newline = 0x0a;
const code = (character: string) => character.charCodeAt(0);

/** Reads a two's complement integer of any length. */
function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  return BigInt.asIntN(8 * bytes.length, value);
}
