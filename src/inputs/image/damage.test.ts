import * as childProcess from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it, vi } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { decodeImage } from "./decode.ts";

vi.mock("node:child_process", async (original) => {
  const real = await original<typeof childProcess>();
  return { ...real, fork: vi.fn(real.fork) };
});

const fixtures = fileURLToPath(new URL("../../../fixtures/preprocess/", import.meta.url));
const jpeg = await readFile(join(fixtures, "upright.jpg"));
const progressive = await sharp(jpeg).jpeg({ progressive: true, quality: 90 }).toBuffer();
const pixelsOf = async (bytes: Uint8Array) => Buffer.from((await decodeImage(bytes)).pixels).toString("base64");

const insert = (bytes: Buffer, at: number, ...added: (string | number[])[]) =>
  Buffer.concat([
    bytes.subarray(0, at),
    ...added.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))),
    bytes.subarray(at),
  ]);

/** Offset of the segment with this second marker byte. */
function segment(bytes: Buffer, marker: number): number {
  let at = 2;
  while (bytes[at + 1] !== marker) at += 2 + bytes.readUInt16BE(at + 2);
  return at;
}

/** Replaces the last three bytes of the first scan's header, which select its part of the spectrum. */
function withScanParameters(bytes: Buffer, parameters: number[]): Buffer {
  const at = segment(bytes, 0xda);
  const end = at + 2 + bytes.readUInt16BE(at + 2);
  return Buffer.concat([bytes.subarray(0, end - 3), Buffer.from(parameters), bytes.subarray(end)]);
}

describe("a JPEG with faults that libjpeg only warns about", () => {
  const whole = jpeg.length;
  it.each([
    ["scan parameters of zero", withScanParameters(jpeg, [0, 0, 0])],
    ["scan parameters of another process", withScanParameters(jpeg, [0, 63, 0x11])],
    ["bytes between two segments", insert(jpeg, segment(jpeg, 0xc0), [0, 1, 2, 0])],
    ["fill bytes before a marker", insert(jpeg, segment(jpeg, 0xc0), [0xff, 0xff, 0xff])],
    ["bytes before its end", insert(jpeg, whole - 2, "no pixels")],
    ["rubbish behind its end", insert(jpeg, whole, "rubbish".repeat(999))],
    ["another JPEG behind its end, as in an MPO", insert(jpeg, whole, [...progressive])],
    ["a cut JPEG behind its end", insert(jpeg, whole, [...progressive.subarray(0, 500)])],
    ["an EXIF segment of rubbish", insert(jpeg, 2, [0xff, 0xe1, 0, 16], "Exif\0\0", Array<number>(8).fill(0xff))],
    ["one part of a colour profile of two", insert(jpeg, 2, [0xff, 0xe2, 0, 24], "ICC_PROFILE\0", [1, 2], "12345678")],
    ["an Adobe segment that is too short", insert(jpeg, 2, [0xff, 0xee, 0, 9], "Adobe\0d")],
    [
      "an Adobe segment of an unknown transform",
      insert(jpeg, 2, [0xff, 0xee, 0, 14], "Adobe", [0, 100, 0, 0, 0, 0, 9]),
    ],
  ])("has the pixels of the intact file: %s", async (_, bytes) => {
    expect(await pixelsOf(bytes)).toBe(await pixelsOf(jpeg));
  });

  it.skipIf(sharedMissing)(`has them also in a phone's file${sharedMissing}`, async () => {
    const folder = `${sharedFolder}cases/jpeg-sos/`;
    const wanted = await pixelsOf(await readFile(`${folder}base.jpg`));
    expect(await pixelsOf(await readFile(`${folder}samsung_sos.jpg`))).toBe(wanted);
  });

  it("is still refused if truncated, even by one byte or filled up with zeros", async () => {
    for (const bytes of [jpeg, progressive, withScanParameters(jpeg, [0, 0, 0])]) {
      for (const length of [bytes.length - 1, bytes.length - 2, bytes.length - 9, bytes.length >> 1]) {
        const cut = bytes.subarray(0, length);
        await expect(decodeImage(cut), `${length} bytes`).rejects.toThrow(/is damaged or cut short/);
        if (length > bytes.length - 9) continue;
        const filled = Buffer.concat([cut, Buffer.alloc(bytes.length - length)]);
        await expect(decodeImage(filled), `${length} bytes and zeros`).rejects.toThrow(/is damaged or cut short/);
      }
    }
  });
});

describe("a PNG whose extra chunks are damaged or huge", () => {
  const chunk = (type: string, content: Uint8Array, damage = 0) => {
    const named = Buffer.concat([Buffer.from(type), content]);
    const sum = (crc32(named) ^ damage) >>> 0;
    const [length, end] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length);
    end.writeUInt32BE(sum);
    return [...length, ...named, ...end];
  };

  it("has the pixels of the intact file", async () => {
    const png = await readFile(join(fixtures, "rgb.png"));
    const wanted = await pixelsOf(png);
    for (const type of ["iCCP", "gAMA", "zTXt", "tEXt", "eXIf", "sRGB", "cHRM", "pHYs", "tIME"]) {
      for (const damage of [0, 1]) {
        const bytes = insert(png, 33, chunk(type, Buffer.from("rubbish"), damage));
        expect(await pixelsOf(bytes), `${type} ${damage}`).toBe(wanted);
      }
    }
    const bomb = Buffer.concat([Buffer.from("k\0\0"), deflateSync(Buffer.alloc(2 ** 26))]);
    for (const type of ["zTXt", "iCCP"]) expect(await pixelsOf(insert(png, 33, chunk(type, bomb)))).toBe(wanted);
  });
});

describe("an SVG", () => {
  const svg = (inner: string, prolog = "") =>
    Buffer.from(
      `${prolog}<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="4" height="4">${inner}</svg>`,
    );

  it("cannot include external files, only embedded content", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clip-ts-svg-"));
    const path = join(folder, "red.png");
    const red = await sharp({ create: { width: 4, height: 4, channels: 3, background: "#f00" } })
      .png()
      .toBuffer();
    await writeFile(path, red);
    const first = async (inner: string) => [...(await decodeImage(svg(inner))).pixels.subarray(0, 4)];
    for (const href of [path, `file://${path}`]) {
      expect(await first(`<image width="4" height="4" href="${href}"/>`), href).toEqual([0, 0, 0, 0]);
      expect(await first(`<image width="4" height="4" x:href="${href}"/>`), href).toEqual([0, 0, 0, 0]);
    }
    const inline = `data:image/png;base64,${red.toString("base64")}`;
    expect(await first(`<image width="4" height="4" href="${inline}"/>`)).toEqual([255, 0, 0, 255]);
    const entity = svg("<text y='3'>&file;</text>", `<!DOCTYPE svg [<!ENTITY file SYSTEM "file://${path}">]>`);
    await expect(decodeImage(entity)).rejects.toThrow(/is damaged/);
    await rm(folder, { recursive: true });
  });

  it("with multiplying entities is refused", async () => {
    const entities = Array.from({ length: 9 }, (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`).join("");
    const bomb = svg("<text>&e9;</text>", `<!DOCTYPE svg [<!ENTITY e0 "ha">${entities}]>`);
    await expect(decodeImage(bomb)).rejects.toThrow(/is damaged or cut short/);
  });

  it("that takes too long to draw is stopped, and the next ones are drawn by one process", async () => {
    const dilate = '<feMorphology radius="2000" operator="dilate"/>'.repeat(30);
    const slow = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="3000">' +
        `<filter id="f"><feGaussianBlur stdDeviation="5000"/>${dilate}</filter><rect width="3000" height="3000" filter="url(#f)"/></svg>`,
    );
    await expect(decodeImage(slow, { name: "slow.svg" })).rejects.toThrow(
      "slow.svg takes more than 10 seconds to draw; simplify the drawing, or convert it to PNG",
    );
    vi.mocked(childProcess.fork).mockClear();
    for (let i = 0; i < 3; i++)
      expect(await decodeImage(svg('<rect width="4" height="4"/>'))).toMatchObject({ width: 4, height: 4 });
    expect(childProcess.fork).toHaveBeenCalledTimes(1);
  });
});
