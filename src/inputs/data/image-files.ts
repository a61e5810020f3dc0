import { imageExtensions } from "../image/extensions.ts";
import { sniffImage } from "../image/sniff.ts";

/** An image that is left out, or the rest of a damaged archive, and why. */
export interface SkippedImage {
  /** Its path, as that of a `ImageLocation`. */
  readonly image: string;
  readonly reason: string;
}

/** Endings of files that lie beside images and never are any: they are not opened to see whether they are. */
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

/** Endings of images beside {@link imageExtensions}, which may hold a format that can be decoded or another one. */
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

/** The last ending of a file's name in lower case, with its dot; empty where it has none. */
export function endingOf(name: string): string {
  return /[^./\\](\.[^./\\]*)$/.exec(name.toLowerCase())?.[1] ?? "";
}

/** What a file is by its name: an image, no image, or one whose content tells. */
export function kindByName(name: string): "image" | "other" | "unknown" {
  const ending = endingOf(name);
  return imageExtensions.has(ending) ? "image" : otherEndings.has(ending) ? "other" : "unknown";
}

/**
 * What a file is by its first bytes, whatever its name.
 *
 * @param head - `sniffedBytes` of it, or the whole file.
 * @returns `"image"` if it can be decoded, `"other"` if neither name nor content are an image's, else why an image cannot be used.
 */
export function kindByContent(name: string, head: Uint8Array): "image" | "other" | { readonly reason: string } {
  const found = sniffImage(head);
  if (found) return found.decodable ? "image" : { reason: undecodable(found.format) };
  if (!moreImageEndings.has(endingOf(name)) && !imageExtensions.has(endingOf(name))) return "other";
  return { reason: head.length === 0 ? "it is empty (0 bytes)" : "its content has no known image format" };
}

/** The reason why an image of some format is left out. */
function undecodable(format: string): string {
  return `its content is ${format}, which cannot be decoded here; convert it to JPEG or PNG`;
}

/** Names of files and folders that operating systems, network disks and programs leave among images, in lower case. */
const litter = new Set([
  ...["thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"],
  ...["$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx", "__pycache__"],
  ...["@eadir", "@recycle", "@recently-snapshot", "@sharebin", "@tmp", "#recycle", "#snapshot"],
  ...["network trash folder", "temporary items"],
]);

/** Whether a file or folder is none that a person put there: hidden, or a system's or program's own by its name. */
export function isLitter(name: string): boolean {
  const lower = name.toLowerCase();
  return name.startsWith(".") || name.startsWith("~$") || litter.has(lower) || lower.endsWith(".lrdata");
}
