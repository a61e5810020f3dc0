import {
  type PickleDialect,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  type PickleValue,
} from "./pickle-values.ts";

/** Limit on lists, dictionaries, tuples and objects: a tensor takes about 7 of them, and each about 200 bytes. */
const maxObjects = 500_000;
/** Limit on the length of `module.name`. */
const maxNameLength = 1_000;

/** The bytes of a pickle, read from front to back. */
export class PickleBytes {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, start: number) {
    this.at = start;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint8 = () => this.#view.getUint8(this.skip(1));
  uint16 = () => this.#view.getUint16(this.skip(2), true);
  uint32 = () => this.#view.getUint32(this.skip(4), true);
  int32 = () => this.#view.getInt32(this.skip(4), true);
  uint64 = () => Number(this.#view.getBigUint64(this.skip(8), true));
  float64 = () => this.#view.getFloat64(this.skip(8));

  /** Skips `length` bytes and returns the position of the first. */
  skip(length: number): number {
    if (length > this.#bytes.length - this.at) throw new PickleError("it ends too early");
    this.at += length;
    return this.at - length;
  }

  take(length: number): Uint8Array {
    const from = this.skip(length);
    return this.#bytes.subarray(from, from + length);
  }

  text(length: number): string {
    try {
      return utf8.decode(this.take(length));
    } catch (error) {
      throw error instanceof PickleError ? error : new PickleError("a text is not valid UTF-8");
    }
  }

  latin1(length: number): string {
    return Array.from(this.take(length), (byte) => String.fromCharCode(byte)).join("");
  }

  /** The text up to the next newline. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new PickleError("a name is unterminated");
    const line = this.text(end - this.at);
    this.at++;
    return line;
  }

  /** A number written as a line of text. */
  numberLine(line = this.line()): number {
    const value = Number(line);
    if (line === "" || Number.isNaN(value)) throw new PickleError("a number is not valid");
    return value;
  }

  /** A whole number of `length` bytes, two's complement. */
  integer(length: number): bigint {
    let value = 0n;
    for (const byte of this.take(length).toReversed()) value = (value << 8n) | BigInt(byte);
    return BigInt.asIntN(8 * length, value);
  }
}

/** The state of the stack machine for which a pickle is a program. */
export class PickleMachine {
  readonly #dialect: PickleDialect;
  readonly #memo = new Map<number, PickleValue>();
  /** The saved stack of each open mark. */
  readonly #below: PickleValue[][] = [];
  #stack: PickleValue[] = [];
  #objects = 0;

  constructor(dialect: PickleDialect) {
    this.#dialect = dialect;
  }

  push = (value: PickleValue) => void this.#stack.push(value);

  /** Pushes an object, which counts towards the limit. */
  pushNew = (make: () => PickleValue) => this.push(this.#make(make));

  pop = (): PickleValue => {
    if (this.#stack.length === 0) throw new PickleError("the stack is empty");
    return this.#stack.pop()!;
  };

  popMany = (count: number): PickleValue[] => Array.from({ length: count }, this.pop).reverse();

  top(): PickleValue {
    if (this.#stack.length === 0) throw new PickleError("the stack is empty");
    return this.#stack.at(-1)!;
  }

  mark(): void {
    this.#below.push(this.#stack);
    this.#stack = this.#make(() => []);
  }

  /** Everything pushed since the last mark. */
  popMark(): PickleValue[] {
    const values = this.#stack;
    const below = this.#below.pop();
    if (!below) throw new PickleError("a mark is missing");
    this.#stack = below;
    return values;
  }

  /** Drops the top of the stack, or the last mark if nothing was pushed since. */
  drop(): void {
    if (this.#stack.length > 0) this.pop();
    else this.popMark();
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    if (!this.#memo.has(index)) throw new PickleError(`memo entry ${index} does not exist`);
    this.push(this.#memo.get(index)!);
  }

  append(values: readonly PickleValue[]): void {
    const list = this.top();
    if (list instanceof PickleInstance) return;
    if (!(list instanceof PickleList)) throw new PickleError("it appends to something that is not a list");
    for (const value of values) list.items.push(value);
  }

  setItems(pairs: readonly PickleValue[]): void {
    const object = this.top();
    const dict = object instanceof PickleInstance ? object.items : object;
    if (!(dict instanceof Map)) throw new PickleError("it sets items of something that is not a dictionary");
    if (pairs.length % 2 !== 0) throw new PickleError("a key has no value");
    for (let i = 0; i < pairs.length; i += 2) dict.set(pairs[i]!, pairs[i + 1]!);
  }

  /** Sets the state of the object on top of the stack. */
  build(): void {
    const state = this.pop();
    const object = this.top();
    // Other objects with a state are dictionaries and tensors, whose state only PyTorch needs.
    if (object instanceof PickleInstance) object.state = state;
    else if (typeof object !== "object" || object === null)
      throw new PickleError("it sets the state of something that is not an object");
  }

  pushGlobal(module: PickleValue, name: PickleValue): void {
    if (typeof module !== "string" || typeof name !== "string") throw new PickleError("a name is not a text");
    if (module.length + name.length > maxNameLength)
      throw new PickleError(`a name has more than ${maxNameLength} characters`);
    this.pushNew(() => new PickleGlobal(module, name));
  }

  pushPersistent(): void {
    this.push(this.#dialect.persistent(this.pop()));
  }

  /** The only place where anything is called: a function of the dialect, or nothing. */
  call(callee: PickleValue, args: PickleValue): void {
    // The result of an unknown function may be called too.
    const target = callee instanceof PickleInstance ? callee.type : callee;
    if (!(target instanceof PickleGlobal) || !Array.isArray(args))
      throw new PickleError("it calls something that is neither a function nor a class");
    const known = target === callee && Object.hasOwn(this.#dialect.functions, target.path);
    if (!known) return this.pushNew(() => new PickleInstance(target));
    // A function may copy the lists it is given, and may be given the same list again.
    const lengths = (args as PickleValue[]).map((value) => (value instanceof PickleList ? value.items.length : 0));
    const count = lengths.reduce((sum, length) => sum + length, 1);
    this.push(this.#make(() => this.#dialect.functions[target.path]!(args as PickleValue[]), count));
  }

  #make<Made>(make: () => Made, count = 1): Made {
    this.#objects += count;
    if (this.#objects > maxObjects) throw new PickleError(`it makes more than ${maxObjects} objects`);
    return make();
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
