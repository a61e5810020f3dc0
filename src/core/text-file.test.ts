import { describe, expect, it } from "vitest";
import { ClipError } from "./errors.ts";
import { Random } from "./random.ts";
import { decodeText, splitLines } from "./text-file.ts";

const text = "rocket\ncafé\n火箭\n";
const utf16be = (value: string) => Buffer.from(value, "utf16le").swap16();
const utf32 = (value: string, bigEndian: boolean) => {
  const bytes = Buffer.alloc(4 * [...value].length);
  [...value].forEach((c, i) =>
    bigEndian ? bytes.writeUInt32BE(c.codePointAt(0)!, 4 * i) : bytes.writeUInt32LE(c.codePointAt(0)!, 4 * i),
  );
  return bytes;
};

describe("decodeText", () => {
  it("accepts UTF-8 with and without a byte order mark", () => {
    expect(decodeText(Buffer.from(text), "f")).toBe(text);
    expect(decodeText(Buffer.from(`\ufeff${text}`), "f")).toBe(text);
    expect(decodeText(new Uint8Array(0), "f")).toBe("");
  });

  it.each<[string, Uint8Array, string | RegExp]>([
    [
      "UTF-16 with a byte order mark",
      Buffer.from(`\ufeff${text}`, "utf16le"),
      "f is UTF-16 and not UTF-8; save it as UTF-8, for example with iconv -f UTF-16 -t UTF-8",
    ],
    ["big-endian UTF-16 with a byte order mark", utf16be(`\ufeff${text}`), "f is UTF-16 and"],
    [
      "UTF-16 without a byte order mark",
      Buffer.from(text, "utf16le"),
      "f is UTF-16LE and not UTF-8; save it as UTF-8, for example with iconv -f UTF-16LE -t UTF-8",
    ],
    ["big-endian UTF-16 without a byte order mark", utf16be(text), "f is UTF-16BE and"],
    ["UTF-16 of Chinese", Buffer.from("火箭\n披萨\n", "utf16le"), "f is UTF-16LE and"],
    ["one letter of UTF-16", Buffer.from("a", "utf16le"), "f is UTF-16LE and"],
    ["UTF-32 with a byte order mark", utf32(`\ufeff${text}`, false), "f is UTF-32 and"],
    ["big-endian UTF-32 with a byte order mark", utf32(`\ufeff${text}`, true), "f is UTF-32 and"],
    ["UTF-32 without a byte order mark", utf32("rocket\npizza\n", false), "f is UTF-32LE and"],
    ["big-endian UTF-32 without a byte order mark", utf32("rocket\npizza\n", true), "f is UTF-32BE and"],
    ["Latin-1", Buffer.from("rocket\ncafé\n", "latin1"), "f, line 2 is not UTF-8; save it as UTF-8"],
    // "猫" and "犬", whose bytes are also text in other encodings, so none is reported.
    [
      "Shift-JIS",
      Buffer.from("94 4c 0a 8c a2 0a".replaceAll(" ", ""), "hex"),
      /^f, line 1 is not UTF-8; save it as UTF-8$/,
    ],
    [
      "GBK",
      Buffer.from("63 61 74 0a c3 a8 0a b9 b7 0a".replaceAll(" ", ""), "hex"),
      /^f, line 3 is not UTF-8; save it as UTF-8$/,
    ],
    ["a zero between words", Buffer.from("cat\0\ndog\n"), "f is a binary file"],
    ["a zero at an even place", Buffer.from("cats\0\ndog\n"), "f is a binary file"],
    ["a zero after words that are not ASCII", Buffer.from("caf\u00e9s\0\n\u706b\u7bad\n"), "f is a binary file"],
    [
      "a zero far inside",
      Buffer.concat([Buffer.from("a\n".repeat(9000)), Buffer.of(0)]),
      "f is a binary file and not text; pass a UTF-8 text file",
    ],
    ["a JPEG", Buffer.from("\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01", "latin1"), "f is a binary file"],
    ["a PNG", Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0", "latin1"), "f is a binary file"],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => decodeText(bytes, "f")).toThrow(ClipError);
    expect(() => decodeText(bytes, "f")).toThrow(message);
  });

  it("refuses random text in every encoding but its own, seed 7", () => {
    const random = new Random(7);
    for (let i = 0; i < 200; i++) {
      const letters = Array.from({ length: 1 + random.integer(40) }, () =>
        String.fromCodePoint(0x20 + random.integer(0x5f)),
      );
      const words = letters.join("");
      expect(decodeText(Buffer.from(words), "f")).toBe(words);
      for (const bytes of [Buffer.from(words, "utf16le"), utf16be(words), utf32(words, false), utf32(words, true)])
        expect(() => decodeText(bytes, "f"), words).toThrow(/is UTF-(16|32)[LB]E and not UTF-8/);
    }
  });
});

it("splits lines at LF, CRLF and CR", () => {
  expect(splitLines("a\r\nb\rc\n\nd")).toEqual(["a", "b", "c", "", "d"]);
});
