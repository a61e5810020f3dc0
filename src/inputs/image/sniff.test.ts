import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { sniffImage } from "./sniff.ts";

const bytes = (...parts: readonly (string | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))));

const ftyp = (major: string, ...compatible: string[]) =>
  bytes([0, 0, 0, 16 + 4 * compatible.length], "ftyp", major, [0, 0, 0, 0], ...compatible, [0, 0, 0, 8], "mdat");

/** A little-endian TIFF with one directory of these tags, each a single 32-bit value. */
function tiff(tags: Readonly<Record<number, number>>): Buffer {
  const entries = Object.entries(tags);
  const directory = Buffer.alloc(2 + 12 * entries.length + 4);
  directory.writeUInt16LE(entries.length);
  entries.forEach(([tag, value], i) => {
    directory.writeUInt16LE(Number(tag), 2 + 12 * i);
    directory.writeUInt16LE(4, 4 + 12 * i);
    directory.writeUInt32LE(1, 6 + 12 * i);
    directory.writeUInt32LE(value, 10 + 12 * i);
  });
  return bytes("II*\0", [8, 0, 0, 0], [...directory]);
}

describe("sniffImage", () => {
  it.each(["jpeg", "png", "gif", "webp", "tiff", "avif"] as const)("detects %s as written by sharp", async (format) => {
    const blank = sharp({ create: { width: 3, height: 2, channels: 3, background: "#123456" } });
    const head = (await blank.toFormat(format).toBuffer()).subarray(0, 64);
    const sniffed = sniffImage(head);
    expect(sniffed?.format.toLowerCase()).toBe(format);
    expect(sniffed?.decodable).toBe(true);
  });

  it.each([
    ["BMP", bytes("BM", [90, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0])],
    ["PNM", bytes("P6\n2 2\n255\n")],
    ["PNM", bytes("P1 # a comment\n# and one\n10\t#\n12")],
    ["ICO", bytes([0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 99, 0, 0, 0, 22, 0, 0, 0])],
    ["CUR", bytes([0, 0, 2, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 99, 0, 0, 0, 22, 0, 0, 0])],
    ["SVG", bytes("<svg/>")],
    ["SVG", bytes("\xef\xbb\xbf\n<?xml version='1.0'?><!-- <html> --><x:svg xmlns:x='http://www.w3.org/2000/svg'>")],
    ["SVG", bytes("<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' '…' [", "x".repeat(5000))],
    ["AVIF", ftyp("mif1", "mif1", "avif", "miaf")],
    ["TIFF", tiff({ 256: 4, 257: 4, 262: 2 })],
  ])("detects %s, which is decodable", (format, head) => {
    expect(sniffImage(head)).toEqual({ format, decodable: true });
  });

  it.each([
    ["HEIC", ftyp("heic", "mif1", "heic")],
    ["HEIC", ftyp("mif1", "mif1", "heic")],
    ["HEIF", ftyp("mif1", "mif1")],
    ["JPEG XL", bytes("\xff\x0a\xfa\x1f")],
    ["JPEG 2000", bytes([0, 0, 0, 12], "jP  \r\n\x87\n")],
    ["Photoshop PSD", bytes("8BPS", [0, 1])],
    ["PDF", bytes("%PDF-1.7\n")],
    ["camera raw (DNG)", tiff({ 254: 1, 0xc612: 0x401 })],
    ["camera raw", tiff({ 254: 1, 330: 1234 })],
    ["camera raw", tiff({ 259: 34713 })],
    ["camera raw (CR2)", bytes("II*\0", [16, 0, 0, 0], "CR", [2, 0])],
    ["camera raw (CR3)", ftyp("crx ", "crx ", "isom")],
    ["MP4 video", ftyp("isom", "isom", "mp41")],
    ["QuickTime video", ftyp("qt  ", "qt  ")],
    ["Matroska or WebM video", bytes("\x1a\x45\xdf\xa3")],
  ])("detects %s, which is not decodable", (format, head) => {
    expect(sniffImage(head)).toEqual({ format, decodable: false });
  });

  it.each([
    ["nothing", bytes()],
    ["one byte", bytes([0xff])],
    ["text that begins with BM", bytes("BMW is a maker of cars. ".repeat(9))],
    ["text that begins with P5", bytes("P5 is the fifth of 10 20")],
    ["a page with a drawing", bytes("<!DOCTYPE html><html><body><svg></svg></body></html>")],
    ["XML of another kind", bytes("<?xml version='1.0'?><feed><svg/></feed>")],
    ["zeros", Buffer.alloc(4096)],
    ["a table", bytes("image,caption\na.png,a cat\n")],
    ["a TIFF mark alone", bytes("II")],
  ])("does not take %s for an image", (_, head) => {
    expect(sniffImage(head)).toBeUndefined();
  });

  it("reads nothing beyond a truncated head", () => {
    const heads = [
      tiff({ 254: 1, 330: 8 }),
      ftyp("mif1", "heic"),
      bytes("BM", [90, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40]),
    ];
    for (const head of heads) {
      for (let length = 0; length <= head.length; length++) {
        const alone = new Uint8Array(head.subarray(0, length));
        expect(() => sniffImage(alone)).not.toThrow();
      }
    }
  });
});
