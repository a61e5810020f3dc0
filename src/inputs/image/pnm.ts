import type { ReadHeader } from "./bmp.ts";
import { roundHalfToEven } from "./crop.ts";

interface Header {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Largest value of a channel. Values take one byte up to 255, else two, big-endian. */
  readonly maximum: number;
  /** Offset of the first value. */
  readonly at: number;
  readonly values: "digits" | "numbers" | "bits" | "bytes";
}

/**
 * Reads the header of a portable anymap: P1 to P6, and P7 (PAM). As in Pillow, values are scaled to 255 and rounded; in
 * bitmaps, 1 is black.
 *
 * @throws an error that describes the fault of the header.
 */
export function readPnm(bytes: Uint8Array): ReadHeader {
  const header = bytes[1] === 0x37 ? readPamHeader(bytes) : readPnmHeader(bytes);
  const { width, height, channels, maximum, values } = header;
  if (!(width > 0 && height > 0)) throw new Error(`its size is ${width} × ${height}`);
  if (!(maximum > 0 && maximum < 2 ** 16)) throw new Error(`its largest value is ${maximum}`);
  if (!(channels >= 1 && channels <= 4)) throw new Error(`it has ${channels} channels`);
  const isBitmap = values === "digits" || values === "bits";
  const hasAlpha = channels % 2 === 0;
  const decode = () => {
    const stored = readValues(bytes, header);
    const levels = Uint8Array.from({ length: maximum + 1 }, (_, value) => roundHalfToEven((value / maximum) * 255));
    if (isBitmap) levels.reverse();
    const pixels = new Uint8Array(4 * width * height);
    const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
    for (let from = 0, to = 0; to < pixels.length; from += channels, to += 4) {
      pixels[to] = levels[stored[from]!] ?? 255;
      pixels[to + 1] = levels[stored[from + green]!] ?? 255;
      pixels[to + 2] = levels[stored[from + blue]!] ?? 255;
      pixels[to + 3] = hasAlpha ? (levels[stored[from + channels - 1]!] ?? 255) : 255;
    }
    return { width, height, pixels, hasAlpha, nearest: isBitmap };
  };
  return { width, height, decode };
}

const kinds = ["digits", "numbers", "numbers", "bits", "bytes", "bytes"] as const;

function readPnmHeader(bytes: Uint8Array): Header {
  const kind = bytes[1]! - 0x31;
  const values = kinds[kind]!;
  const isBitmap = kind % 3 === 0;
  const numbers = new Numbers(bytes, 2);
  const [width, height] = [numbers.next(), numbers.next()];
  const maximum = isBitmap ? 1 : numbers.next();
  // A single whitespace character ends the header.
  return { width, height, maximum, channels: kind % 3 === 2 ? 3 : 1, at: numbers.at + 1, values };
}

/** Reads lines of name and value, up to ENDHDR. */
function readPamHeader(bytes: Uint8Array): Header {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  const end = /^ENDHDR[^\n]*\n/m.exec(text);
  if (!end) throw new Error("its header has no end");
  const field = (name: string) => Number(new RegExp(`^${name}\\s+(\\d+)`, "m").exec(text.slice(0, end.index))?.[1]);
  const [width, height, channels, maximum] = [field("WIDTH"), field("HEIGHT"), field("DEPTH"), field("MAXVAL")];
  return { width, height, channels, maximum, at: end.index + end[0].length, values: "bytes" };
}

/** Values of all channels of all pixels, row by row. */
function readValues(bytes: Uint8Array, { width, height, channels, maximum, at, values }: Header): ArrayLike<number> {
  const count = width * height * channels;
  const rowBytes = Math.ceil(width / 8);
  const bytesNeeded = {
    digits: count,
    numbers: 2 * count - 1,
    bits: rowBytes * height,
    bytes: count * (maximum > 255 ? 2 : 1),
  };
  if (at + bytesNeeded[values] > bytes.length)
    throw new Error(`its pixels need ${bytesNeeded[values]} bytes, but ${Math.max(0, bytes.length - at)} follow`);
  if (values === "bytes" && maximum <= 255) return bytes.subarray(at, at + count);
  const stored = maximum > 255 ? new Uint16Array(count) : new Uint8Array(count);
  if (values === "bytes") {
    for (let i = 0; i < count; i++) stored[i] = (bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!;
  } else if (values === "bits") {
    for (let i = 0; i < count; i++) {
      const x = i % width;
      stored[i] = (bytes[at + rowBytes * ((i - x) / width) + (x >> 3)]! >> (7 - (x & 7))) & 1;
    }
  } else {
    const numbers = new Numbers(bytes, at);
    const read = values === "digits" ? () => numbers.nextDigit() : () => numbers.next();
    for (let i = 0; i < count; i++) stored[i] = Math.min(maximum, read());
  }
  return stored;
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;

/** Reads decimal numbers from text with `#` comments. */
class Numbers {
  /** Offset after the last number read. */
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    [this.#bytes, this.at] = [bytes, at];
  }

  next(): number {
    this.#skip();
    let value = 0;
    while (isDigit(this.#bytes[this.at]) && value < 2 ** 31) value = 10 * value + this.#bytes[this.at++]! - 0x30;
    return value;
  }

  /** Reads a single digit: a bitmap's digits need no separators. */
  nextDigit(): number {
    this.#skip();
    return this.#bytes[this.at++]! - 0x30;
  }

  /** Skips whitespace and comments up to a digit. */
  #skip(): void {
    for (let isComment = false; !isDigit(this.#bytes[this.at]) || isComment; this.at++) {
      const byte = this.#bytes[this.at];
      if (byte === undefined) throw new Error("it ends before its last number");
      if (byte === 0x23) isComment = true;
      if (byte === 0x0a || byte === 0x0d) isComment = false;
      else if (!isComment && byte > 0x20) throw new Error(`expected a number at byte ${this.at}`);
    }
  }
}
