/** Format of an image file, detected from its first bytes. */
export interface SniffedImage {
  /** Common name, such as `"JPEG"` or `"HEIC"`. */
  readonly format: string;
  /** True if `decodeImage` supports this format in Node. Browsers may support fewer formats, or more. */
  readonly decodable: boolean;
}

/** Bytes that {@link sniffImage} needs: enough for an SVG's prolog and the tags of a camera's raw file. */
export const sniffedBytes = 4096;

/**
 * Detects the format of an image, video or page-layout file from its content.
 *
 * @param head - the first {@link sniffedBytes} of the file, or all of it; 64 bytes suffice except for SVG with a long
 *   prolog and for TIFF-based camera raw files.
 * @returns `undefined` for an unknown format.
 */
export function sniffImage(head: Uint8Array): SniffedImage | undefined {
  const format = decodableFormat(head);
  if (format) return { format, decodable: true };
  const other = foreignFormat(head);
  return other === undefined ? undefined : { format: other, decodable: false };
}

/** Bytes at fixed offsets, one character per byte. */
type Signature = readonly [format: string, ...parts: readonly (readonly [offset: number, bytes: string])[]];

const decodableSignatures: readonly Signature[] = [
  ["JPEG", [0, "\xff\xd8\xff"]],
  ["PNG", [0, "\x89PNG\r\n\x1a\n"]],
  ["GIF", [0, "GIF87a"]],
  ["GIF", [0, "GIF89a"]],
  ["WebP", [0, "RIFF"], [8, "WEBP"]],
];

const foreignSignatures: readonly Signature[] = [
  ["JPEG XL", [0, "\xff\x0a"]],
  ["JPEG XL", [0, "\0\0\0\x0cJXL \r\n\x87\n"]],
  ["JPEG 2000", [0, "\0\0\0\x0cjP  \r\n\x87\n"]],
  ["JPEG 2000", [0, "\xff\x4f\xff\x51"]],
  ["JPEG XR", [0, "II\xbc"]],
  ["JPEG-LS", [0, "\xff\xd8\xff\xf7"]],
  ["Photoshop PSD", [0, "8BPS"]],
  ["GIMP XCF", [0, "gimp xcf"]],
  ["PDF", [0, "%PDF-"]],
  ["PostScript", [0, "%!PS"]],
  ["PostScript", [0, "\xc5\xd0\xd3\xc6"]],
  ["OpenEXR", [0, "\x76\x2f\x31\x01"]],
  ["Radiance HDR", [0, "#?RADIANCE"]],
  ["Radiance HDR", [0, "#?RGBE"]],
  ["PFM", [0, "PF\n"]],
  ["PFM", [0, "Pf\n"]],
  ["DDS", [0, "DDS \x7c\0\0\0"]],
  ["QOI", [0, "qoif"]],
  ["TGA", [0, "\0\0\x02\0\0\0\0\0"]],
  ["TGA", [0, "\0\0\x0a\0\0\0\0\0"]],
  ["FITS", [0, "SIMPLE  ="]],
  ["DICOM", [128, "DICM"]],
  ["ICNS", [0, "icns"]],
  ["PCX", [0, "\x0a\x05\x01"]],
  ["Sun raster", [0, "\x59\xa6\x6a\x95"]],
  ["SGI image", [0, "\x01\xda"]],
  ["WMF", [0, "\xd7\xcd\xc6\x9a"]],
  ["EMF", [0, "\x01\0\0\0"], [40, " EMF"]],
  ["DjVu", [0, "AT&TFORM"]],
  ["BPG", [0, "BPG\xfb"]],
  ["FLIF", [0, "FLIF"]],
  ["MNG", [0, "\x8aMNG"]],
  ["camera raw (CR2)", [0, "II*\0"], [8, "CR"]],
  ["camera raw (CRW)", [0, "II"], [6, "HEAPCCDR"]],
  ["camera raw (ORF)", [0, "IIRO"]],
  ["camera raw (ORF)", [0, "IIRS"]],
  ["camera raw (ORF)", [0, "MMOR"]],
  ["camera raw (RW2)", [0, "IIU\0"]],
  ["camera raw (RAF)", [0, "FUJIFILMCCD-RAW"]],
  ["camera raw (X3F)", [0, "FOVb"]],
  ["camera raw (MRW)", [0, "\0MRM"]],
  ["Matroska or WebM video", [0, "\x1a\x45\xdf\xa3"]],
  ["AVI video", [0, "RIFF"], [8, "AVI "]],
  ["Flash video", [0, "FLV\x01"]],
  ["Windows Media video", [0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"]],
  ["MPEG video", [0, "\0\0\x01\xba"]],
  ["MPEG video", [0, "\0\0\x01\xb3"]],
  ["QuickTime video", [4, "moov"]],
  ["QuickTime video", [4, "mdat"]],
  ["QuickTime video", [4, "wide"]],
];

/** Formats by the brands of ISO base media files (`ftyp`). */
const brands: readonly (readonly [format: string, ...brands: readonly string[]])[] = [
  ["AVIF", "avif", "avis"],
  ["HEIC", "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"],
  ["JPEG 2000", "jp2 ", "jpx ", "jpm "],
  ["VVC image", "vvic", "vvis"],
  ["camera raw (CR3)", "crx "],
  ["QuickTime video", "qt  "],
  ["HEIF", "mif1", "msf1", "mif2"],
];

/** A PNM's kind and two numbers, with optional comments between them, or a PAM's first field. */
const pnmStart =
  /^P(?:[1-6](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d|7\n(?:#[^\n]*\n)*(?:WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE) )/;

function decodableFormat(head: Uint8Array): string | undefined {
  const format = bySignature(decodableSignatures, head) ?? (brandOf(head) === "AVIF" ? "AVIF" : undefined);
  if (format) return isAt(head, 3, "\xf7") && format === "JPEG" ? undefined : format;
  if (isTiff(head)) return rawFormat(head) ? undefined : "TIFF";
  if (isBmp(head)) return "BMP";
  if (pnmStart.test(text(head, 0, 1024))) return "PNM";
  return iconFormat(head) ?? (isSvg(head) ? "SVG" : undefined);
}

function foreignFormat(head: Uint8Array): string | undefined {
  return bySignature(foreignSignatures, head) ?? brandOf(head) ?? rawFormat(head);
}

function bySignature(signatures: readonly Signature[], head: Uint8Array): string | undefined {
  return signatures.find(([, ...parts]) => parts.every(([offset, bytes]) => isAt(head, offset, bytes)))?.[0];
}

function isAt(head: Uint8Array, offset: number, bytes: string): boolean {
  return text(head, offset, bytes.length) === bytes;
}

/** Bytes as characters with the same codes. */
function text(head: Uint8Array, offset: number, length: number): string {
  return String.fromCharCode(...head.subarray(offset, offset + length));
}

/** Format of an ISO base media file; brands other than images' count as video. */
function brandOf(head: Uint8Array): string | undefined {
  if (!isAt(head, 4, "ftyp") || head.length < 12) return undefined;
  const length = Math.min(viewOf(head).getUint32(0), head.length, 256);
  const named = [text(head, 8, 4)];
  for (let at = 16; at + 4 <= length; at += 4) named.push(text(head, at, 4));
  const formatOf = (brand: string) => brands.find(([, ...own]) => own.includes(brand))?.[0];
  const major = formatOf(named[0]!);
  if (major && major !== "HEIF") return major;
  // A general brand does not identify the codec; a compatible brand may.
  const compatible = named.map(formatOf).find((format) => format !== undefined && format !== "HEIF");
  return major ? (compatible ?? major) : "MP4 video";
}

const viewOf = (head: Uint8Array): DataView => new DataView(head.buffer, head.byteOffset, head.byteLength);

/** TIFF and BigTIFF, in either byte order. */
function isTiff(head: Uint8Array): boolean {
  return ["II*\0", "MM\0*", "II+\0", "MM\0+"].some((mark) => isAt(head, 0, mark));
}

/**
 * Format of a TIFF-based camera raw file, of which a TIFF decoder would return the thumbnail. DNG has its own tag; the
 * others store a reduced image first (tag 254, bit 0) and the sensor data in a subdirectory (tag 330) or in a
 * proprietary encoding (tag 259).
 */
function rawFormat(head: Uint8Array): string | undefined {
  const values = tiffTags(head);
  if (!values) return undefined;
  if (isAt(head, 8, "CR")) return "camera raw (CR2)";
  if (values.has(0xc612)) return "camera raw (DNG)";
  const isReduced = ((values.get(254) ?? 0) & 1) === 1 && values.has(330);
  const ofTheMaker = [32767, 34713, 65535].includes(values.get(259) ?? 0) || values.get(262) === 32803;
  return isReduced || ofTheMaker ? "camera raw" : undefined;
}

/** Value or value offset of each tag in a TIFF's first directory; undefined for BigTIFF or anything else. */
export function tiffTags(head: Uint8Array): ReadonlyMap<number, number> | undefined {
  if (!["II*\0", "MM\0*"].some((mark) => isAt(head, 0, mark)) || head.length < 8) return undefined;
  const view = viewOf(head);
  const littleEndian = head[0] === 0x49;
  const directory = view.getUint32(4, littleEndian);
  const values = new Map<number, number>();
  if (directory + 2 > head.length) return values;
  const count = view.getUint16(directory, littleEndian);
  for (let i = 0, at = directory + 2; i < count && at + 12 <= head.length; i++, at += 12) {
    const isShort = view.getUint16(at + 2, littleEndian) === 3;
    const value = isShort ? view.getUint16(at + 8, littleEndian) : view.getUint32(at + 8, littleEndian);
    values.set(view.getUint16(at, littleEndian), value);
  }
  return values;
}

/** True for "BM" followed by a known header size; text may begin with the two letters. */
function isBmp(head: Uint8Array): boolean {
  if (!isAt(head, 0, "BM") || head.length < 18) return false;
  return [12, 40, 52, 56, 64, 108, 124].includes(viewOf(head).getUint32(14, true));
}

/** Detects a Windows icon or cursor by a directory of at least one image, whose bytes follow the directory. */
function iconFormat(head: Uint8Array): "ICO" | "CUR" | undefined {
  if (head.length < 22 || head[0] !== 0 || head[1] !== 0 || head[3] !== 0) return undefined;
  const view = viewOf(head);
  const count = view.getUint16(4, true);
  const liesBehind = view.getUint32(18, true) >= 6 + 16 * count && view.getUint32(14, true) > 0;
  if (count === 0 || !liesBehind || head[9] !== 0) return undefined;
  return head[2] === 1 ? "ICO" : head[2] === 2 ? "CUR" : undefined;
}

/** True if the first element of an XML document, or its document type, is `svg`. */
function isSvg(head: Uint8Array): boolean {
  let rest = new TextDecoder(xmlEncoding(head)).decode(head.subarray(0, 2 ** 16)).trimStart();
  for (;;) {
    if (/^<!DOCTYPE\s+svg\b/i.test(rest) || /^<(?:[\w.-]+:)?svg[\s/>]/.test(rest)) return true;
    const end = rest.startsWith("<!--") ? "-->" : rest.startsWith("<?") ? "?>" : undefined;
    const at = end ? rest.indexOf(end) : -1;
    if (at < 0) return false;
    rest = rest.slice(at + end!.length).trimStart();
  }
}

/** Encoding of an XML document, from the byte order mark or `<` in its first two bytes. */
export function xmlEncoding([first, second]: Uint8Array): "utf-16le" | "utf-16be" | "utf-8" {
  if ((first === 0xff && second === 0xfe) || second === 0) return "utf-16le";
  return first === 0xfe || first === 0 ? "utf-16be" : "utf-8";
}
