import { printable } from "./printable.ts";

/**
 * Every error this library throws on purpose.
 *
 * `code` is stable and for programs; `message` is for people: what was wanted, what was met, and the way out.
 * `cause` keeps the original error where there is one.
 */
export class ClipError extends Error {
  readonly code: ClipErrorCode;
  constructor(code: ClipErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The codes of {@link ClipError}, with what each means. */
export type ClipErrorCode =
  /** Shapes or dtypes that an op cannot take. */
  | "CLIP_SHAPE"
  /** An image that is missing, corrupt, too large, or not an image. */
  | "CLIP_IMAGE"
  /** A text that does not fit the context, or a vocabulary that cannot be read. */
  | "CLIP_TEXT"
  /** A weight file that is damaged, or does not fit the model. */
  | "CLIP_CHECKPOINT"
  /** A configuration with a missing, misspelt or impossible value. */
  | "CLIP_CONFIG"
  /** Training data that cannot be read or is too little. */
  | "CLIP_DATA"
  /** A training run that cannot go on: a loss that is no number, a checkpoint that does not belong. */
  | "CLIP_TRAIN"
  /** Processes of one job that cannot work together: Open MPI is missing, or they were given different things. */
  | "CLIP_GROUP"
  /** A published model that cannot be fetched. */
  | "CLIP_DOWNLOAD"
  /** A file that cannot be read or written. */
  | "CLIP_FILE"
  /** Arguments of a call or a command that make no sense. */
  | "CLIP_USAGE"
  /** Numbers that differ from those recorded elsewhere by more than is allowed, or could not be compared. */
  | "CLIP_PARITY"
  /** ONNX Runtime refused a model or a run. */
  | "CLIP_RUNTIME";

/** Says what was asked, what was met, where each side came from, and the likely way out. */
export class ShapeError extends ClipError {
  constructor(op: string, problem: string, operands: Readonly<Record<string, string>> = {}, hint?: string) {
    const lines = [
      `${op}: ${problem}`,
      ...Object.entries(operands).map(([role, text]) => `  ${role}: ${printable(text)}`),
    ];
    if (hint) lines.push(`  hint: ${hint}`);
    super("CLIP_SHAPE", lines.join("\n"));
  }
}

const systemProblems: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EEXIST: "a file of that name is in the way",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of its path is a file",
  EACCES: "permission denied",
  ELOOP: "it is a link that leads back to itself",
  ENXIO: "it is a socket or a device, and no file",
  EPERM: "permission denied",
  EROFS: "its disk is read-only",
  ENOSPC: "the disk is full: free some space and try again",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENFILE: "the system has too many open files",
  ENAMETOOLONG: "its name is too long",
  ESTALE: "the network disk has lost it: mount it again",
  EIO: "the disk fails to read or write",
  ENODEV: "it is a device that is not there",
  EBUSY: "it is in use",
  ETIMEDOUT: "the disk does not answer",
  ENOTEMPTY: "the folder is not empty",
  EFBIG: "the file would be larger than the disk allows",
  EDQUOT: "the quota of disk space is used up: free some space and try again",
};

/** What went wrong with a file, in words. */
export function problemOf(cause: unknown): string {
  const { code = "", message } = cause as { readonly code?: string; readonly message: string };
  return systemProblems[code] ?? message;
}

/** Holds of our own making; a failure is a bug of this library, not of its user. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}; please report this`);
}
