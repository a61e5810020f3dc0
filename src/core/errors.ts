import { printable } from "./printable.ts";

/**
 * The error class of this library.
 *
 * `code` is stable and meant for programs; `message` describes the problem and the remedy; `cause` is the original
 * error, if any.
 */
export class ClipError extends Error {
  readonly code: ClipErrorCode;
  constructor(code: ClipErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

export type ClipErrorCode =
  /** Shapes or dtypes that an op does not accept. */
  | "CLIP_SHAPE"
  /** An image that is missing, corrupt, too large, or not an image. */
  | "CLIP_IMAGE"
  /** A text that does not fit the context, or a vocabulary that cannot be read. */
  | "CLIP_TEXT"
  /** A weight file that is damaged, or does not fit the model. */
  | "CLIP_CHECKPOINT"
  /** A configuration with a missing, misspelt or impossible value. */
  | "CLIP_CONFIG"
  /** Training data that is unreadable or insufficient. */
  | "CLIP_DATA"
  /** A training run that cannot continue: the loss is not finite, or the checkpoint belongs to another run. */
  | "CLIP_TRAIN"
  /** Processes that cannot work together: Open MPI is missing, or their settings differ. */
  | "CLIP_GROUP"
  /** A published model that cannot be fetched. */
  | "CLIP_DOWNLOAD"
  /** A file that cannot be read or written. */
  | "CLIP_FILE"
  /** Invalid arguments of a call or a command. */
  | "CLIP_USAGE"
  /** Numbers that differ from recorded ones by more than the tolerance, or cannot be compared. */
  | "CLIP_PARITY"
  /** ONNX Runtime refused a model or a run. */
  | "CLIP_RUNTIME";

/** Shapes or dtypes that an op does not accept; lists each operand and its origin, with a hint. */
export class ShapeError extends ClipError {
  constructor(op: string, problem: string, operands: Readonly<Record<string, string>> = {}, hint?: string) {
    const lines = Object.entries(operands).map(([role, text]) => `${role}: ${printable(text)}`);
    if (hint) lines.push(`hint: ${hint}`);
    super("CLIP_SHAPE", [`${op}: ${problem}`, ...lines].join("\n  "));
  }
}

const systemProblems: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EEXIST: "a file of that name already exists",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of its path is a file",
  EACCES: "permission denied",
  ELOOP: "it is a link that leads back to itself",
  ENXIO: "it is a socket or a device, not a file",
  EPERM: "permission denied",
  EROFS: "its disk is read-only",
  ENOSPC: "the disk is full: free some space and try again",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENFILE: "the system has too many open files",
  ENAMETOOLONG: "its name is too long",
  ESTALE: "the network disk no longer has it: mount it again",
  EIO: "the disk fails to read or write",
  ENODEV: "the device does not exist",
  EBUSY: "it is in use",
  ETIMEDOUT: "the disk does not respond",
  ENOTEMPTY: "the folder is not empty",
  EFBIG: "the file would be larger than the disk allows",
  EDQUOT: "the quota of disk space is used up: free some space and try again",
};

export function problemOf(cause: unknown): string {
  const { code = "", message } = cause as { readonly code?: string; readonly message: string };
  return systemProblems[code] ?? message;
}

/** Checks an internal invariant; a failure is a bug in this library. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}; please report this`);
}
