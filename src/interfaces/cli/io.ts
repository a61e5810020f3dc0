import { addAbortSignal, type Readable } from "node:stream";
import { ClipError } from "../../core/errors.ts";
import { maxVocabularyBytes } from "../../core/limits.ts";
import { printable } from "../../core/printable.ts";
import { decodeText } from "../../core/text-file.ts";
import { maxImageBytes } from "../../inputs/image/fetch-image.ts";

/** The parts of the process that a command may use; an argument, so that tests can pass their own. */
export interface CliIo {
  /**
   * Prints results, with a line end. Escape sequences are escaped.
   *
   * @param isPainted - keeps colours: all text from outside in it must have passed {@link printable}.
   */
  out(text: string, isPainted?: boolean): void;
  /** Prints a message that is not a result. Its further lines must be indented, so that no name in it can pose as a message. */
  err(text: string): void;
  /** Shows progress: in a terminal on one line, elsewhere as a line now and then. */
  progress(text: string): void;
  /**
   * Reads the standard input as UTF-8 text.
   *
   * @throws {ClipError} `CLIP_FILE` if it is not UTF-8 or too long for a list of texts; `CLIP_USAGE` if it was read before.
   */
  readInput(): Promise<string>;
  /** Reads the standard input as the bytes of an image file. */
  readInputBytes(): Promise<Uint8Array>;
  /** Characters per line of the terminal; undefined if the output is not a terminal. */
  readonly columns: number | undefined;
  /** Whether results have colours; messages never do. */
  readonly colour: boolean;
  /** Whether to print stack traces. */
  readonly debug: boolean;
  /** Aborted when the user stops the command: it should finish what must not be left half done, and return. */
  readonly signal: AbortSignal;
}

/** Without a terminal: seconds before the first line of progress, and between lines. */
const [firstLineSeconds, lineEverySeconds] = [10, 30];

/** Not escaped: in text, line ends and tabs; in messages, line ends before an indented line; in painted text, also colours. */
const [ofText, ofMessage, ofPainted] = [/([\n\t])/, /(\n(?= {2}))/, /([\n\t]|\x1b\[[\d;]*m)/];

/** Escapes control characters except those that `passing` matches. */
function clean(text: string, passing: RegExp): string {
  return text
    .split(passing)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join("");
}

export function processIo(signal: AbortSignal): CliIo {
  const { stdout, stderr, env } = process;
  const colour = stdout.isTTY && !env["NO_COLOR"];
  let showing = false;
  let nextLine = performance.now() + 1000 * firstLineSeconds;
  const clear = () => {
    if (showing) stderr.write("\r\x1b[K");
    showing = false;
  };
  return {
    out(text, isPainted = false) {
      clear();
      // Also into files, which people print later. In JSON an escaped character is the same string.
      stdout.write(`${clean(text, colour && isPainted ? ofPainted : ofText)}\n`);
    },
    err(text) {
      clear();
      stderr.write(`${clean(text, ofMessage)}\n`);
    },
    progress(shown) {
      const text = printable(shown);
      if (!stderr.isTTY) {
        if (performance.now() < nextLine) return;
        nextLine = performance.now() + 1000 * lineEverySeconds;
        stderr.write(`${text}\n`);
        return;
      }
      stderr.write(`\r\x1b[K${text.slice(0, stderr.columns - 1)}`);
      showing = true;
    },
    ...inputOnce((maxBytes) => readBytes(addAbortSignal(signal, process.stdin), maxBytes)),
    columns: stdout.isTTY ? stdout.columns : undefined,
    colour,
    debug: Boolean(env["DEBUG"]),
    signal,
  };
}

/** Readers of the standard input, which only one argument may use. */
export function inputOnce(
  read: (maxBytes: number) => Promise<Uint8Array>,
): Pick<CliIo, "readInput" | "readInputBytes"> {
  let isTaken = false;
  const take = async (maxBytes: number) => {
    if (isTaken) throw new ClipError("CLIP_USAGE", "the standard input can be read once: only one argument can be -");
    isTaken = true;
    return read(maxBytes);
  };
  return {
    readInput: async () => decodeText(await take(maxVocabularyBytes), "the standard input"),
    readInputBytes: () => take(maxImageBytes),
  };
}

async function readBytes(stream: Readable, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if ((length += chunk.length) > maxBytes)
      throw new ClipError("CLIP_FILE", `the standard input has more than ${maxBytes / 2 ** 20} MiB`);
  }
  return Buffer.concat(chunks);
}
