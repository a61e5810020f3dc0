import { imageExtensions } from "../image/extensions.ts";
import { sniffImage } from "../image/sniff.ts";

/** An image that cannot be used, or the rest of a damaged archive, with the reason. */
export interface SkippedImage {
  /** As in `ImageLocation`. */
  readonly image: string;
  readonly reason: string;
}

/** Endings of files that are never images, so they are not opened. */
const otherEndings = new Set(
  [
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".parquet",
    ".md",
    ".xml",
    ".xmp",
    ".html",
    ".htm",
    ".yaml",
    ".yml",
  ].concat([".aae", ".cls", ".npy", ".npz", ".safetensors", ".tar", ".gz", ".zip", ".py", ".ipynb"]),
);

/** Further endings of images, in formats that may or may not be decodable. */
const moreImageEndings = new Set(
  [".jfif", ".jpe", ".jif", ".jfi", ".apng", ".bmp", ".dib", ".ico", ".cur", ".ppm", ".pgm", ".pbm", ".pnm"].concat(
    [
      ".heic",
      ".heif",
      ".hif",
      ".jp2",
      ".j2k",
      ".jpx",
      ".jxl",
      ".jxr",
      ".avifs",
      ".psd",
      ".xcf",
      ".tga",
      ".exr",
      ".hdr",
    ],
    [".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".qoi", ".dds"],
  ),
);

/** The last ending of a file name in lower case, with its dot; empty if it has none. */
export function endingOf(name: string): string {
  return /[^./\\](\.[^./\\]*)$/.exec(name.toLowerCase())?.[1] ?? "";
}

/** The kind of a file by its name; for `"unknown"` see {@link kindByContent}. */
export function kindByName(name: string): "image" | "other" | "unknown" {
  const ending = endingOf(name);
  return imageExtensions.has(ending) ? "image" : otherEndings.has(ending) ? "other" : "unknown";
}

/**
 * The kind of a file by its first bytes.
 *
 * @param head - `sniffedBytes` of it, or the whole file.
 * @returns `"image"` if it can be decoded, `"other"` if it is no image by name and content, otherwise why the image cannot be used.
 */
export function kindByContent(name: string, head: Uint8Array): "image" | "other" | { readonly reason: string } {
  const found = sniffImage(head);
  if (found) return found.decodable ? "image" : { reason: undecodable(found.format) };
  if (!moreImageEndings.has(endingOf(name)) && !imageExtensions.has(endingOf(name))) return "other";
  return { reason: head.length === 0 ? "it is empty (0 bytes)" : "its content has no known image format" };
}

function undecodable(format: string): string {
  return `its content is ${format}, which cannot be decoded here; convert it to JPEG or PNG`;
}

/** Files and folders that operating systems, network drives and programs create, in lower case. */
const litter = new Set([
  ...["thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"],
  ...["$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx", "__pycache__"],
  ...["@eadir", "@recycle", "@recently-snapshot", "@sharebin", "@tmp", "#recycle", "#snapshot"],
  ...["network trash folder", "temporary items"],
]);

/** Whether a file or folder is hidden or was created by a system or program. */
export function isLitter(name: string): boolean {
  const lower = name.toLowerCase();
  return name.startsWith(".") || name.startsWith("~$") || litter.has(lower) || lower.endsWith(".lrdata");
}
