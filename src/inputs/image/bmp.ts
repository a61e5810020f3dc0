import { type RasterImage, type Size, unpackedPixels } from "./raster-image.ts";

/** An image whose header has been read, but for whose pixels nothing has been allocated. */
export interface ReadHeader extends Size {
  /** @throws an error that describes the damage if pixels are missing. */
  decode(): RasterImage;
}

interface Layout extends Size {
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Bit masks of R, G, B and A for 16 and 32-bit pixels; 0 for no alpha. */
  readonly masks: readonly [number, number, number, number];
  /** Packed colours for pixels of up to 8 bits. */
  readonly palette: Int32Array;
  /** Offset of the first stored row. */
  readonly pixelsAt: number;
  /** Bytes per stored row. */
  readonly stride: number;
}

const [plain, rle8, rle4, bitFields, alphaBitFields] = [0, 1, 2, 3, 6];
const headerSizes = [12, 40, 52, 56, 64, 108, 124];
const opaque = 0xff000000 | 0;

/**
 * Reads the header of a Windows or OS/2 bitmap. Pixels equal Pillow's: 32-bit pixels have alpha only with an alpha
 * mask, and channels of fewer than 8 bits are scaled to 255 and truncated.
 *
 * @throws an error that describes the fault of the header.
 */
export function readBmp(bytes: Uint8Array): ReadHeader {
  const view = viewOf(bytes);
  const layout = readLayout(view, 14, view.getUint32(10, true));
  const { width, height, bits, palette } = layout;
  const decode = () => {
    const pixels = decodeRows(view, layout);
    // With a grey ramp as palette, indices are grey levels; a ramp of two colours is a 1-bit image.
    const isGrey = palette.length > 2 && palette.every((colour, i) => colour === packed(i, i, i));
    return { width, height, pixels, hasAlpha: hasAlphaMask(layout), nearest: bits <= 8 && !isGrey };
  };
  return { width, height, decode };
}

/**
 * Reads the largest image of a Windows icon or cursor; among equally large ones the one with the most colours.
 *
 * @returns The bytes of a PNG file, or the header of a bitmap.
 * @throws an error that describes the fault.
 */
export function readIcon(bytes: Uint8Array): Uint8Array | ReadHeader {
  const view = viewOf(bytes);
  const count = view.getUint16(4, true);
  const entries = Array.from({ length: count }, (_, i) => {
    const at = 6 + 16 * i;
    const area = (view.getUint8(at) || 256) * (view.getUint8(at + 1) || 256);
    return {
      area,
      bits: view.getUint16(at + 6, true),
      at: view.getUint32(at + 12, true),
      size: view.getUint32(at + 8, true),
    };
  });
  const isCursor = view.getUint16(2, true) === 2; // a cursor stores its hot spot in the field of the bits
  const [largest] = entries.sort((a, b) => b.area - a.area || (isCursor ? 0 : b.bits - a.bits));
  if (!largest || largest.at + largest.size > bytes.length)
    throw new Error("the icon's image extends beyond the end of the file");
  const content = bytes.subarray(largest.at, largest.at + largest.size);
  return content[0] === 0x89 ? content : readIconBitmap(content);
}

/** A bitmap without a file header and of twice its height: the colours are followed by a 1-bit mask, 1 for transparent. */
function readIconBitmap(content: Uint8Array): ReadHeader {
  const view = viewOf(content);
  const stored = readLayout(view, 0, 0);
  const { width, bits, stride, pixelsAt } = stored;
  const layout = { ...stored, height: stored.height >> 1 };
  const mask: Layout = {
    ...{ ...layout, bits: 1, compression: plain, palette: Int32Array.of(opaque, 0) },
    ...{ pixelsAt: pixelsAt + stride * layout.height, stride: strideOf(width, 1) },
  };
  const decode = () => {
    const pixels = decodeRows(view, bits === 32 ? { ...layout, masks: [0xff0000, 0xff00, 0xff, 0xff000000] } : layout);
    const hasOwnAlpha = bits === 32 && pixels.some((value, i) => i % 4 === 3 && value !== 0);
    if (!hasOwnAlpha && mask.pixelsAt < content.length) {
      const alphas = decodeRows(view, mask);
      for (let i = 3; i < pixels.length; i += 4) pixels[i] = alphas[i]!;
    }
    return { width, height: layout.height, pixels, hasAlpha: true, nearest: false };
  };
  return { width, height: layout.height, decode };
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const strideOf = (width: number, bits: number): number => 4 * Math.ceil((width * bits) / 32);
const packed = (red: number, green: number, blue: number): number => opaque | (blue << 16) | (green << 8) | red;
const hasAlphaMask = ({ bits, masks }: Layout): boolean => bits > 8 && bits !== 24 && masks[3] !== 0;

/**
 * @param at - offset of the bitmap's header.
 * @param pixelsAt - offset of the pixels from the file header; 0 if they follow the palette.
 */
function readLayout(view: DataView, at: number, pixelsAt: number): Layout {
  const size = view.getUint32(at, true);
  if (!headerSizes.includes(size)) throw new Error(`its header of ${size} bytes is unknown`);
  const isOld = size === 12;
  const width = isOld ? view.getUint16(at + 4, true) : view.getInt32(at + 4, true);
  const signedHeight = isOld ? view.getUint16(at + 6, true) : view.getInt32(at + 8, true);
  const height = Math.abs(signedHeight);
  if (width <= 0 || height === 0) throw new Error(`its size is ${width} × ${signedHeight}`);
  const bits = view.getUint16(at + (isOld ? 10 : 14), true);
  const compression = isOld ? plain : view.getUint32(at + 16, true);
  if (!isKnown(bits, compression, size))
    throw new Error(`its encoding ${compression} of ${bits} bits is not supported`);

  const hasMasks = compression === bitFields || compression === alphaBitFields;
  let end = at + size;
  if (hasMasks && size === 40) end += compression === bitFields ? 12 : 16;
  const colours = bits > 8 ? 0 : Math.min((isOld ? 0 : view.getUint32(at + 32, true)) || 2 ** bits, 2 ** bits);
  const entry = isOld ? 3 : 4;
  const palette = Int32Array.from({ length: colours }, (_, i) => {
    const from = end + entry * i;
    return packed(view.getUint8(from + 2), view.getUint8(from + 1), view.getUint8(from));
  });
  end += entry * colours;
  const layout = {
    width,
    height,
    bits,
    compression,
    palette,
    topDown: signedHeight < 0,
    stride: strideOf(width, bits),
  };
  const masks = hasMasks ? readMasks(view, at, { size, bits, compression }) : defaultMasks(bits);
  return { ...layout, masks, pixelsAt: pixelsAt >= at + size ? pixelsAt : end };
}

function isKnown(bits: number, compression: number, headerSize: number): boolean {
  if (compression === plain) return [1, 2, 4, 8, 16, 24, 32].includes(bits);
  if (compression === rle8) return bits === 8;
  if (compression === rle4) return bits === 4;
  // In OS/2's 64-byte header these numbers have another meaning.
  return (
    (compression === bitFields || compression === alphaBitFields) && headerSize !== 64 && (bits === 16 || bits === 32)
  );
}

/** Masks follow a 40-byte header, and are at the same offset in longer ones. */
function readMasks(
  view: DataView,
  at: number,
  { size, bits, compression }: Record<"size" | "bits" | "compression", number>,
): Layout["masks"] {
  const hasAlpha = size >= 56 || compression === alphaBitFields;
  const [red, green, blue] = [40, 44, 48].map((offset) => view.getUint32(at + offset, true)) as [
    number,
    number,
    number,
  ];
  // All-zero masks mean the usual order, with alpha.
  if (red === 0 && green === 0 && blue === 0 && bits === 32) return [0xff0000, 0xff00, 0xff, 0xff000000];
  return [red, green, blue, hasAlpha ? view.getUint32(at + 52, true) : 0];
}

function defaultMasks(bits: number): Layout["masks"] {
  return bits === 16 ? [0x7c00, 0x03e0, 0x001f, 0] : [0xff0000, 0xff00, 0xff, 0];
}

/** RGBA, top row first. */
function decodeRows(view: DataView, layout: Layout): Uint8Array {
  const { width, height, bits, compression, pixelsAt, stride, topDown } = layout;
  if (compression === rle8 || compression === rle4) return unpackedPixels(decodeRuns(view, layout));
  // The padding of the last row may be missing.
  const end = pixelsAt + stride * (height - 1) + Math.ceil((width * bits) / 8);
  if (end > view.byteLength) throw new Error(`its pixels end at byte ${end}, the file at ${view.byteLength}`);
  const pixels = new Int32Array(width * height);
  const readRow = rowReader(view, layout);
  for (let row = 0; row < height; row++)
    readRow(pixelsAt + stride * row, pixels, width * (topDown ? row : height - 1 - row));
  return unpackedPixels(pixels);
}

type RowReader = (at: number, pixels: Int32Array, to: number) => void;

function rowReader(view: DataView, { width, bits, palette, masks }: Layout): RowReader {
  if (bits === 24) {
    return (at, pixels, to) => {
      for (let x = 0; x < width; x++, at += 3)
        pixels[to++] = packed(view.getUint8(at + 2), view.getUint8(at + 1), view.getUint8(at));
    };
  }
  if (bits <= 8) {
    const perByte = 8 / bits;
    return (at, pixels, to) => {
      for (let x = 0; x < width; x++) {
        const index =
          (view.getUint8(at + Math.floor(x / perByte)) >> (8 - bits - bits * (x % perByte))) & (2 ** bits - 1);
        pixels[to++] = palette[index] ?? opaque;
      }
    };
  }
  const [red, green, blue, alpha] = masks.map(channelReader) as [Channel, Channel, Channel, Channel];
  const hasAlpha = masks[3] !== 0;
  return (at, pixels, to) => {
    for (let x = 0; x < width; x++, at += bits / 8) {
      const value = bits === 16 ? view.getUint16(at, true) : view.getUint32(at, true);
      const colour = (blue(value) << 16) | (green(value) << 8) | red(value);
      pixels[to++] = colour | (hasAlpha ? alpha(value) << 24 : opaque);
    }
  };
}

type Channel = (value: number) => number;

/** Returns a reader of the bits under a mask, scaled to [0, 255]. */
function channelReader(mask: number): Channel {
  if (mask === 0) return () => 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  if (most === 255) return (value) => (value >>> shift) & 255;
  return (value) => Math.trunc((255 * ((value & mask) >>> shift)) / most);
}

/**
 * Decodes run-length encoding. Skipped pixels get the first colour; runs beyond a row or the image are cut; the end
 * marker is optional.
 */
function decodeRuns(view: DataView, { width, height, bits, palette, pixelsAt, topDown }: Layout): Int32Array {
  const pixels = new Int32Array(width * height).fill(palette[0] ?? opaque);
  const isHalf = bits === 4;
  let [x, y, at] = [0, 0, pixelsAt];
  const put = (index: number) => {
    if (x < width) pixels[width * (topDown ? y : height - 1 - y) + x++] = palette[index] ?? opaque;
  };
  const nibble = (byte: number, i: number) => (i % 2 === 0 ? byte >> 4 : byte & 15);
  const isWhole = () => y === height - 1 && x >= width && at >= view.byteLength;
  while (y < height && !isWhole()) {
    const [count, value] = [view.getUint8(at), view.getUint8(at + 1)];
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(isHalf ? nibble(value, i) : value);
    } else if (value === 0) {
      [x, y] = [0, y + 1];
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      x += view.getUint8(at);
      y += view.getUint8(at + 1);
      at += 2;
    } else {
      for (let i = 0; i < value; i++) {
        const byte = view.getUint8(at + (isHalf ? i >> 1 : i));
        put(isHalf ? nibble(byte, i) : byte);
      }
      const length = isHalf ? (value + 1) >> 1 : value;
      at += length + (length % 2); // pairs of bytes
    }
  }
  return pixels;
}
