import { ClipError } from "../../core/errors.ts";
import { sniffImage, xmlEncoding } from "./sniff.ts";

/** Advice by format; the first matching pattern applies. */
const waysOut: readonly (readonly [format: RegExp, wayOut: string])[] = [
  [/^HEI[CF]/, "convert it to JPEG, for example with heif-convert or, on a Mac, sips -s format jpeg"],
  [/^JPEG XL/, "convert it to JPEG or PNG, for example with djxl"],
  [/^JPEG 2000/, "convert it to JPEG or PNG, for example with opj_decompress"],
  [/^camera raw/, "export a JPEG from it, for example with darktable-cli or the camera's own program"],
  [/^(PDF|PostScript|DjVu)/, "turn its pages into images, for example with pdftoppm -png"],
  [/video$/, "take frames from it, for example with ffmpeg -i VIDEO frame-%04d.png"],
  [/./, "convert it to JPEG or PNG, for example with ImageMagick"],
];

/** Common contents of files misnamed as images, matched as text; invalid bytes are U+FFFD. */
const otherContents: readonly (readonly [start: RegExp, content: string])[] = [
  [/^version https:\/\/git-lfs\./, "a Git LFS pointer: fetch the image itself with git lfs pull"],
  [/^\0\x05\x16\x07/, "macOS metadata of the file with the same name but without ._ in front"],
  [/^\x1f\ufffd\x08/, "compressed with gzip: unpack it first"],
  [/^PK\x03\x04/, "a ZIP archive: unpack it first"],
  [/^\s*(<!doctype html|<html|<head|<body)/i, "an HTML page, not an image: check the address it was downloaded from"],
  [/^\s*<\?xml/, "XML, not an image"],
  [/^\s*[{[]/, "text, perhaps JSON, not an image"],
  [/^\0+$/, "nothing but zeros: copy or download it again"],
  [/^[\t\n\r\x20-\x7e\u00a0-\ufffc]*$/, "text, not an image"],
];

/**
 * The error for undecodable bytes, with their format or content and advice.
 *
 * @param contentType - content type declared by the server.
 */
export function cannotDecode(name: string, head: Uint8Array, contentType?: string): ClipError {
  const format = sniffImage(head)?.format;
  if (format !== undefined) {
    const wayOut = waysOut.find(([pattern]) => pattern.test(format))![1];
    return new ClipError("CLIP_IMAGE", `${name} is ${format}, which is not supported; ${wayOut}`);
  }
  const start = textOf(head.subarray(0, 512));
  const content = otherContents.find(([pattern]) => pattern.test(start))?.[1];
  const told = contentType === undefined ? "" : ` (declared as ${contentType})`;
  if (content) return new ClipError("CLIP_IMAGE", `${name} is ${content}${told}`);
  const formats = "JPEG, PNG, WebP, GIF, TIFF, AVIF, SVG, BMP, ICO or PNM";
  return new ClipError("CLIP_IMAGE", `${name} is not an image of a known format${told}; convert it to ${formats}`);
}

/** Decodes the beginning of a text by its byte order mark, else as UTF-8; drops an incomplete last character. */
function textOf(head: Uint8Array): string {
  const [first, second] = head;
  const isWide = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  return new TextDecoder(isWide ? xmlEncoding(head) : "utf-8").decode(head, { stream: true });
}
