import { describe, expect, it } from "vitest";
import { readPickle } from "./pickle.ts";
import { type PickleDialect, PickleError, PickleInstance, type PickleList, type PickleValue } from "./pickle-values.ts";

const dialect: PickleDialect = {
  functions: { "math.sum": (args) => args.reduce<number>((sum, value) => sum + Number(value), 0) },
  persistent: (id) => ["persistent", id],
};

/** Bytes from text and numbers, one after the other. */
const bytes = (...parts: readonly (string | number)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.of(part))));
const read = (...parts: readonly (string | number)[]): PickleValue => readPickle(bytes(...parts), dialect).value;
const text = (value: string) => ["X", value.length, 0, 0, 0, value] as const;

describe("readPickle", () => {
  // Written out with CPython's pickletools.dis beside.
  it("builds plain values", () => {
    expect(read(0x80, 2, "K", 200, ".")).toBe(200);
    expect(read("M", 0x34, 0x12, ".")).toBe(0x1234);
    expect(read("J", 0xff, 0xff, 0xff, 0xff, ".")).toBe(-1);
    expect(read(0x8a, 2, 0x00, 0xff, ".")).toBe(-256n);
    expect(read(0x8a, 0, ".")).toBe(0n);
    expect(read("G", 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, ".")).toBe(1.5);
    expect(read("X", 2, 0, 0, 0, 0xc3, 0xbc, ".")).toBe("ü");
    expect(read("N", ".")).toBe(null);
    expect(read("(", 0x88, 0x89, "t", ".")).toEqual([true, false]);
    expect((read("]", "(", "K", 1, "K", 2, "e", "K", 3, "a", ".") as PickleList).items).toEqual([1, 2, 3]);
    expect(read("}", ...text("a"), "K", 1, "s", "(", ...text("b"), "K", 2, "u", ".")).toEqual(
      new Map([
        ["a", 1],
        ["b", 2],
      ]),
    );
  });

  it("remembers values and gives them again", () => {
    expect(read(...text("a"), "q", 5, "h", 5, 0x86, ".")).toEqual(["a", "a"]);
    expect(read(...text("a"), 0x94, "j", 0, 0, 0, 0, 0x86, ".")).toEqual(["a", "a"]);
  });

  it("calls what the dialect knows, makes bags of attributes, and asks for persistent ids", () => {
    expect(read("cmath\nsum\n", "K", 2, "K", 3, 0x86, "R", ".")).toBe(5);
    const made = read("c__torch__\nModule\n", ")", 0x81, "}", ...text("a"), "K", 1, "s", "b", ".");
    expect(made).toBeInstanceOf(PickleInstance);
    expect((made as PickleInstance).state).toEqual(new Map([["a", 1]]));
    expect(read(...text("id"), "Q", ".")).toEqual(["persistent", "id"]);
  });

  it("keeps names such as __proto__ as plain keys", () => {
    const dict = read("}", ...text("__proto__"), "K", 1, "s", ".") as Map<string, PickleValue>;
    expect([...dict]).toEqual([["__proto__", 1]]);
    expect(({} as Record<string, unknown>)["1"]).toBeUndefined();
  });

  it("takes a list that holds itself", () => {
    const list = read("]", "q", 0, "h", 0, "a", ".") as PickleList;
    expect(list.items[0]).toBe(list);
  });

  it.each([
    ["an unknown opcode", [0x97, "."], "opcode 0x97 does not occur in weight files"],
    [
      "a call of a value",
      ["K", 1, ")", "R", "."],
      "at byte 3 of the pickle: it calls something that is neither a function nor a class",
    ],
    [
      "a call without a tuple",
      ["cmath\nsum\n", "K", 1, "R", "."],
      "it calls something that is neither a function nor a class",
    ],
    ["a state for a number", ["K", 1, "K", 2, "b", "."], "it sets the state of something that is not an object"],
    ["an end too early", ["X", 200, 0, 0, 0, "a"], "it ends too early"],
    ["a text of 4 GB", ["X", 255, 255, 255, 255, "a"], "it ends too early"],
    ["nothing", [], "it ends too early"],
    ["an empty stack", ["."], "the stack is empty"],
    ["no mark", ["t", "."], "a mark is missing"],
    ["what was not remembered", ["h", 9, "."], "memo entry 9 does not exist"],
    ["half a pair", ["}", "(", "K", 1, "u", "."], "a key has no value"],
    ["a number that is none", ["Ixyz\n", "."], "a number is not valid"],
    ["bytes of 2 GB", ["B", 0, 0, 0, 0x80, "a"], "it ends too early"],
    ["an addition to a tuple", [")", "K", 1, "a", "."], "it appends to something that is not a list"],
    ["a text that is none", ["X", 1, 0, 0, 0, 0xff, "."], "a text is not valid UTF-8"],
    ["a name without an end", ["cos"], "a name is unterminated"],
  ] as [string, (string | number)[], string][])("refuses %s", (_, parts, message) => {
    expect(() => read(...parts)).toThrow(PickleError);
    expect(() => read(...parts)).toThrow(message);
  });

  it.each([
    ["a command", ["cos\nsystem\n", ...text("ls"), 0x85, "R", "."], "os.system"],
    [
      "a command, named in two texts",
      [...text("os"), ...text("system"), 0x93, ...text("ls"), 0x85, "R", "."],
      "os.system",
    ],
    ["a command, as Python 2 wrote it", ["(", ...text("ls"), "ios\nsystem\n", "."], "os.system"],
    ["a command, as an object", ["(", "cos\nsystem\n", ...text("ls"), "o", "."], "os.system"],
    ["what a command gives, called", ["cos\nsystem\n", ")", "R", ")", "R", "."], "os.system"],
    ["a property of every object", ["cconstructor\n\n", ")", "R", "."], "constructor."],
    ["an object with named arguments", ["cpathlib\nPosixPath\n", ")", "}", 0x92, "."], "pathlib.PosixPath"],
    ["bytes", ["C", 2, "ab", "."], "builtins.bytes"],
  ] as [string, (string | number)[], string][])("makes nothing of %s but its name", (_, parts, path) => {
    const made = read(...parts);
    expect(made).toBeInstanceOf(PickleInstance);
    expect((made as PickleInstance).type.path).toBe(path);
  });

  it("reads what older protocols and newer ones write", () => {
    const list = read("(", "I12\n", "L-3L\n", "F0.5\n", "S'abc'\n", "U", 2, "de", "Vfg\n", "l", ".") as PickleList;
    expect(list.items).toEqual([12, -3, 0.5, "abc", "de", "fg"]);
    expect(read("(", ...text("a"), "K", 1, "d", ".")).toEqual(new Map([["a", 1]]));
    expect(read("K", 1, "p7\n", "0", "g7\n", "2", 0x86, ".")).toEqual([1, 1]);
    expect((read(0x8f, "(", "K", 1, 0x90, ".") as PickleList).items).toEqual([1]);
    const attributes = read("ceasydict\nEasyDict\n", ")", 0x81, ...text("a"), "K", 1, "s", "}", "b", ".");
    expect((attributes as PickleInstance).items).toEqual(new Map([["a", 1]]));
  });

  it.each([
    ["dictionaries", "}", "it makes more than 500000 objects"],
    ["marks", "(", "it makes more than 500000 objects"],
    ["numbers", "N", "it has more than 4000000 opcodes"],
    ["memories", "\u0094", "it has more than 4000000 opcodes"],
  ])("takes little memory for 16 MB of %s", (_, opcode, message) => {
    const many = Buffer.alloc(2 ** 24, opcode, "latin1");
    many[0] = "N".charCodeAt(0);
    const before = process.memoryUsage().rss;
    expect(() => readPickle(many, dialect)).toThrow(message);
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
  });

  it("tells where a pickle ends, for those that follow", () => {
    const two = bytes("K", 1, ".", "K", 2, ".");
    expect(readPickle(two, dialect)).toEqual({ value: 1, end: 3 });
    expect(readPickle(two, dialect, 3)).toEqual({ value: 2, end: 6 });
  });
});
