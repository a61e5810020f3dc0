import { addAbortSignal, type Readable } from "node:stream";
import { ClipError } from "../../core/errors.ts";
import { maxVocabularyBytes } from "../../core/limits.ts";
import { printable } from "../../core/printable.ts";
import { decodeText } from "../../core/text-file.ts";
import { maxImageBytes } from "../../inputs/image/fetch-image.ts";

/** What a command may touch of the process: given as an argument, so that a test is a call. */
export interface CliIo {
  /**
   * Prints results: text, to which a line's end is added. Nothing in it steers a terminal.
   *
   * @param isPainted - colours pass: all in it that came from outside went through {@link printable}.
   */
  out(text: string, isPainted?: boolean): void;
  /** Prints one message that is not a result. Its further lines, if any, are indented, so that no name in it looks like a message. */
  err(text: string): void;
  /** Shows where a long command stands: in a terminal in place of what was shown before, elsewhere as a line now and then. */
  progress(text: string): void;
  /**
   * All of the standard input, which must be text in UTF-8.
   *
   * @throws {ClipError} `CLIP_FILE` if it is in another encoding, binary, or longer than a list of texts may be; `CLIP_USAGE` if it was
   *   read before.
   */
  readInput(): Promise<string>;
  /** The same as bytes: an image file. */
  readInputBytes(): Promise<Uint8Array>;
  /** Characters in a line of the terminal; undefined if the output is none. */
  readonly columns: number | undefined;
  /** Whether results may have colours; messages have none. */
  readonly colour: boolean;
  /** Whether to show where errors came from. */
  readonly debug: boolean;
  /** Set off when the user wants to stop: finish what must not be left half done, and return. */
  readonly signal: AbortSignal;
}

/** Where nobody watches a terminal: seconds until the first line of progress, and from one to the next. */
const [firstLineSeconds, lineEverySeconds] = [10, 30];

/** What passes as it is: line ends and tabs of text; of a message, line ends before an indented line; and colours of our own. */
const [ofText, ofMessage, ofPainted] = [/([\n\t])/, /(\n(?= {2}))/, /([\n\t]|\x1b\[[\d;]*m)/];

/** Nothing that came from outside may steer a terminal. */
function clean(text: string, passing: RegExp): string {
  return text
    .split(passing)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join("");
}

/** The process as a command sees it. */
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
      // Also where it is no terminal: what is kept is read in one. In JSON what is cleaned stays what it is.
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

/** The standard input as text or bytes, to be read by one argument alone. */
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
