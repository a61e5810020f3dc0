/**
 * Reads the pickles that PyTorch writes, and executes nothing: a pickle is a program for a stack machine, and this one
 * knows the few opcodes that build plain values and the few functions of {@link PickleDialect}. Everything else is
 * refused by its name.
 *
 * Each opcode takes time and memory for its own bytes alone, so that a pickle costs no more than a multiple of its size.
 *
 * @see {@link https://github.com/python/cpython/blob/3.11/Lib/pickletools.py | CPython} `Lib/pickletools.py` for the opcodes.
 */
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
  | Map<string | number, PickleValue>;

/** A list; tuples are arrays. */
export class PickleList {
  readonly items: PickleValue[] = [];
}

/** What the functions of a dialect return; nothing is known of it here. */
export abstract class PickleObject {
  abstract readonly kind: string;
}

/** A name in a module. Nothing is imported. */
export class PickleGlobal {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    [this.module, this.name] = [module, name];
  }

  /** `module.name` */
  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An object of a class that is only a name: what it was given as its state. */
export class PickleInstance {
  state: PickleValue = null;

  readonly type: PickleGlobal;

  constructor(type: PickleGlobal) {
    this.type = type;
  }
}

/** What a pickle may name. */
export interface PickleDialect {
  /** Functions that may be called, by module and name. */
  readonly functions: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>>;
  /** Names that may stand as values, such as types; of functions it is known already. */
  isValue(global: PickleGlobal): boolean;
  /** Classes of which instances may be made, as bags of attributes. */
  isClass(global: PickleGlobal): boolean;
  /** What a persistent id stands for. */
  persistent(id: PickleValue): PickleValue;
}

/** A pickle that is damaged or asks for something that is not known; the message says where. */
export class PickleError extends Error {}

/**
 * The value that the pickle at `start` describes, and where it ends.
 *
 * @throws {PickleError} with the place, for everything that is not as it should be.
 */
export function readPickle(bytes: Uint8Array, dialect: PickleDialect, start = 0): { value: PickleValue; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const memo = new Map<number, PickleValue>();
  /** The stacks below each mark. */
  const below: PickleValue[][] = [];
  let stack: PickleValue[] = [];
  let at = start;

  /** Steps over this many bytes and says where they began. */
  const take = (length: number): number => {
    if (length > bytes.length - at) throw new PickleError("it ends too early");
    return (at += length) - length;
  };
  const uint8 = () => view.getUint8(take(1));
  const uint16 = () => view.getUint16(take(2), true);
  const uint32 = () => view.getUint32(take(4), true);
  const text = (length: number) => {
    const from = take(length);
    try {
      return utf8.decode(bytes.subarray(from, from + length));
    } catch {
      throw new PickleError("a text is no UTF-8");
    }
  };
  const line = () => {
    const end = bytes.indexOf(newline, at);
    if (end < 0) throw new PickleError("a name has no end");
    const name = text(end - at);
    at++;
    return name;
  };

  const push = (value: PickleValue) => void stack.push(value);
  const pop = (): PickleValue => {
    if (stack.length === 0) throw new PickleError("the stack is empty");
    return stack.pop()!;
  };
  const top = (): PickleValue => {
    if (stack.length === 0) throw new PickleError("the stack is empty");
    return stack.at(-1)!;
  };
  /** What was pushed since the last mark. */
  const popMark = (): PickleValue[] => {
    const values = stack;
    const before = below.pop();
    if (!before) throw new PickleError("there is no mark");
    stack = before;
    return values;
  };
  const popMany = (count: number): PickleValue[] => Array.from({ length: count }, pop).reverse();

  const append = (values: readonly PickleValue[]) => {
    const list = top();
    if (!(list instanceof PickleList)) throw new PickleError("what is appended to is no list");
    for (const value of values) list.items.push(value);
  };
  const setItems = (pairs: readonly PickleValue[]) => {
    const dict = top();
    if (!(dict instanceof Map)) throw new PickleError("what gets items is no dictionary");
    if (pairs.length % 2 !== 0) throw new PickleError("a key has no value");
    for (let i = 0; i < pairs.length; i += 2) {
      const key = pairs[i]!;
      if (typeof key !== "string" && typeof key !== "number") throw new PickleError("a key is neither text nor number");
      dict.set(key, pairs[i + 1]!);
    }
  };
  const recall = (index: number) => {
    if (!memo.has(index)) throw new PickleError(`nothing was remembered as ${index}`);
    push(memo.get(index)!);
  };
  const remember = (index: number) => void memo.set(index, top());

  const name = (global: PickleGlobal) => {
    const known = Object.hasOwn(dialect.functions, global.path) || dialect.isValue(global) || dialect.isClass(global);
    if (!known) throw new PickleError(`it asks for ${global.path}, which weight files do not need; nothing was run`);
    push(global);
  };
  const call = () => {
    const [callee, args] = popMany(2);
    const known = callee instanceof PickleGlobal && Object.hasOwn(dialect.functions, callee.path);
    if (!known || !Array.isArray(args)) throw new PickleError("what is called is no function that weight files need");
    push(dialect.functions[callee.path]!(args));
  };
  const make = () => {
    const [type] = popMany(2);
    if (!(type instanceof PickleGlobal && dialect.isClass(type))) throw new PickleError("what is made has no class");
    push(new PickleInstance(type));
  };
  const build = () => {
    const state = pop();
    const instance = top();
    // The other objects that are built upon are dictionaries with notes for PyTorch.
    if (instance instanceof PickleInstance) instance.state = state;
    else if (!(instance instanceof Map)) throw new PickleError("what gets a state is no object");
  };

  const opcodes: Readonly<Record<number, () => void>> = {
    [code("N")]: () => push(null),
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

    [code("(")]: () => {
      below.push(stack);
      stack = [];
    },
    [code(")")]: () => push([]),
    [code("t")]: () => push(popMark()),
    0x85: () => push(popMany(1)),
    0x86: () => push(popMany(2)),
    0x87: () => push(popMany(3)),
    [code("]")]: () => push(new PickleList()),
    [code("a")]: () => append([pop()]),
    [code("e")]: () => append(popMark()),
    [code("}")]: () => push(new Map()),
    [code("s")]: () => setItems(popMany(2)),
    [code("u")]: () => setItems(popMark()),

    [code("q")]: () => remember(uint8()),
    [code("r")]: () => remember(uint32()),
    0x94: () => remember(memo.size),
    [code("h")]: () => recall(uint8()),
    [code("j")]: () => recall(uint32()),

    [code("c")]: () => name(new PickleGlobal(line(), line())),
    0x93: () => {
      const [module, attribute] = popMany(2);
      if (typeof module !== "string" || typeof attribute !== "string") throw new PickleError("a name is no text");
      name(new PickleGlobal(module, attribute));
    },
    [code("Q")]: () => push(dialect.persistent(pop())),
    [code("R")]: call,
    0x81: make,
    [code("b")]: build,

    0x80: () => void uint8(), // the version of the protocol; the opcodes say all
    0x95: () => void take(8), // the length of a frame, for those who read from a stream
  };

  for (;;) {
    const begin = at;
    try {
      const opcode = uint8();
      if (opcode === code(".")) return { value: pop(), end: at };
      if (!opcodes[opcode]) throw new PickleError(`opcode 0x${opcode.toString(16)} is none that weight files need`);
      opcodes[opcode]();
    } catch (error) {
      if (error instanceof PickleError) error.message = `at byte ${begin - start} of the pickle: ${error.message}`;
      throw error;
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const newline = 0x0a;
const code = (character: string) => character.charCodeAt(0);

/** A whole number of any length, two's complement. */
function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  return BigInt.asIntN(8 * bytes.length, value);
}
