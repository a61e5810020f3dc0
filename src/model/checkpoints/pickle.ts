import { PickleBytes, PickleMachine } from "./pickle-machine.ts";
import {
  type PickleDialect,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  type PickleValue,
} from "./pickle-values.ts";

/** Limit on opcodes: a tensor takes about 40. */
const maxOpcodes = 4_000_000;

/**
 * Reads a pickle as PyTorch writes it, and executes nothing: a pickle is a program for a stack machine, and this one
 * builds plain values and calls only the functions of the dialect. Any other class or function becomes a
 * {@link PickleInstance} with its name and state.
 *
 * Each opcode takes time and memory in proportion to its own bytes, and the number of opcodes is limited.
 *
 * @returns the value, and the position after the pickle.
 * @throws {PickleError} with the position, if the pickle is damaged or too large.
 */
export function readPickle(bytes: Uint8Array, dialect: PickleDialect, start = 0): { value: PickleValue; end: number } {
  const input = new PickleBytes(bytes, start);
  const machine = new PickleMachine(dialect);
  for (let count = 1; ; count++) {
    const begin = input.at;
    try {
      if (count > maxOpcodes) throw new PickleError(`it has more than ${maxOpcodes} opcodes`);
      const opcode = input.uint8();
      if (opcode === code(".")) return { value: machine.pop(), end: input.at };
      const run = opcodes[opcode];
      if (!run) throw new PickleError(`opcode 0x${opcode.toString(16)} does not occur in weight files`);
      run(machine, input);
    } catch (error) {
      if (error instanceof PickleError) error.message = `at byte ${begin - start} of the pickle: ${error.message}`;
      throw error;
    }
  }
}

function code(character: string): number {
  return character.charCodeAt(0);
}

/** Bytes, which weights do not need. */
function skipBytes(machine: PickleMachine, input: PickleBytes, length: number): void {
  input.skip(length);
  machine.pushNew(() => new PickleInstance(new PickleGlobal("builtins", "bytes")));
}

/** @see {@link https://github.com/python/cpython/blob/3.11/Lib/pickletools.py | CPython} `Lib/pickletools.py` */
const opcodes: Readonly<Record<number, (machine: PickleMachine, input: PickleBytes) => void>> = {
  // Constants
  [code("N")]: (m) => m.push(null),
  0x88: (m) => m.push(true),
  0x89: (m) => m.push(false),
  [code("I")]: (m, input) => m.push(input.numberLine()),
  [code("F")]: (m, input) => m.push(input.numberLine()),
  [code("L")]: (m, input) => m.push(input.numberLine(input.line().replace(/L$/, ""))),
  [code("K")]: (m, input) => m.push(input.uint8()),
  [code("M")]: (m, input) => m.push(input.uint16()),
  [code("J")]: (m, input) => m.push(input.int32()),
  0x8a: (m, input) => m.push(input.integer(input.uint8())),
  [code("G")]: (m, input) => m.push(input.float64()),
  [code("X")]: (m, input) => m.push(input.text(input.uint32())),
  0x8c: (m, input) => m.push(input.text(input.uint8())),
  0x8d: (m, input) => m.push(input.text(input.uint64())),
  [code("V")]: (m, input) => m.push(input.line()),
  // Strings of Python 2
  [code("S")]: (m, input) => m.push(input.line().replace(/^(['"])(.*)\1$/, "$2")),
  [code("T")]: (m, input) => m.push(input.latin1(input.uint32())),
  [code("U")]: (m, input) => m.push(input.latin1(input.uint8())),
  [code("B")]: (m, input) => skipBytes(m, input, input.uint32()),
  [code("C")]: (m, input) => skipBytes(m, input, input.uint8()),
  0x8e: (m, input) => skipBytes(m, input, input.uint64()),
  0x96: (m, input) => skipBytes(m, input, input.uint64()),

  // The stack
  [code("(")]: (m) => m.mark(),
  [code("0")]: (m) => m.drop(),
  [code("1")]: (m) => void m.popMark(),
  [code("2")]: (m) => m.push(m.top()),

  // Tuples, lists, sets (as lists), dictionaries
  [code(")")]: (m) => m.pushNew(() => []),
  [code("t")]: (m) => m.push(m.popMark()),
  0x85: (m) => m.pushNew(() => m.popMany(1)),
  0x86: (m) => m.pushNew(() => m.popMany(2)),
  0x87: (m) => m.pushNew(() => m.popMany(3)),
  [code("]")]: (m) => m.pushNew(() => new PickleList()),
  [code("l")]: (m) => {
    const values = m.popMark();
    m.pushNew(() => new PickleList());
    m.append(values);
  },
  [code("a")]: (m) => m.append([m.pop()]),
  [code("e")]: (m) => m.append(m.popMark()),
  0x8f: (m) => m.pushNew(() => new PickleList()),
  0x90: (m) => m.append(m.popMark()),
  0x91: (m) => m.push(m.popMark()),
  [code("}")]: (m) => m.pushNew(() => new Map()),
  [code("d")]: (m) => {
    const pairs = m.popMark();
    m.pushNew(() => new Map());
    m.setItems(pairs);
  },
  [code("s")]: (m) => m.setItems(m.popMany(2)),
  [code("u")]: (m) => m.setItems(m.popMark()),

  // The memo
  [code("p")]: (m, input) => m.remember(input.numberLine()),
  [code("q")]: (m, input) => m.remember(input.uint8()),
  [code("r")]: (m, input) => m.remember(input.uint32()),
  0x94: (m) => m.remember(),
  [code("g")]: (m, input) => m.recall(input.numberLine()),
  [code("h")]: (m, input) => m.recall(input.uint8()),
  [code("j")]: (m, input) => m.recall(input.uint32()),

  // Classes, functions, objects
  [code("c")]: (m, input) => m.pushGlobal(input.line(), input.line()),
  0x93: (m) => m.pushGlobal(...(m.popMany(2) as [PickleValue, PickleValue])),
  [code("Q")]: (m) => m.pushPersistent(),
  [code("R")]: (m) => m.call(...(m.popMany(2) as [PickleValue, PickleValue])),
  0x81: (m) => m.call(...(m.popMany(2) as [PickleValue, PickleValue])),
  0x92: (m) => m.call(...(m.popMany(3).slice(0, 2) as [PickleValue, PickleValue])),
  [code("i")]: (m, input) => {
    m.pushGlobal(input.line(), input.line());
    const type = m.pop();
    m.call(type, m.popMark());
  },
  [code("o")]: (m) => {
    const [type = null, ...args] = m.popMark();
    m.call(type, args);
  },
  [code("b")]: (m) => m.build(),

  0x80: (_, input) => void input.uint8(), // version of the protocol
  0x95: (_, input) => void input.skip(8), // length of a frame, for readers of streams
};
