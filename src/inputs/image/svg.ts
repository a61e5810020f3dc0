import { type ChildProcess, fork, type ForkOptions } from "node:child_process";
import { moduleEnvironment, packageFile, packageModule, runsFromSource } from "../../core/package-files.ts";
import type { Size } from "./raster-image.ts";
import { xmlEncoding } from "./sniff.ts";

/** A request to the SVG process: the size of a drawing, and its pixels if `render`. */
export interface SvgRequest {
  readonly bytes: Uint8Array;
  readonly render: boolean;
}

/** An answer of the SVG process. */
export type SvgAnswer =
  { readonly ready: true } | { readonly error: string } | (Size & { readonly pixels?: Uint8Array });

/** A rendered SVG: RGBA, straight alpha. */
export interface DrawnSvg extends Size {
  readonly pixels: Uint8Array;
}

/** A possibly valid drawing that was not rendered; the message is a predicate for the image's name. */
export class DrawingError extends Error {}

/** Time limit of one drawing; icons and diagrams take milliseconds. */
const maxDrawingMs = 10_000;
/** Time limit for starting the process, on a busy machine. */
const maxStartMs = 60_000;
/** Time before an unused process is killed. */
const idleMs = 10_000;

/** Converts an SVG from UTF-16 to UTF-8, since libvips does not recognize the former. */
export function inUtf8(bytes: Uint8Array): Uint8Array {
  const encoding = xmlEncoding(bytes);
  if (encoding === "utf-8") return bytes;
  const text = new TextDecoder(encoding).decode(bytes);
  return Buffer.from(text.replace(/^<\?xml[^>]*>/, "")); // the declaration may name the old encoding
}

/** Intrinsic width and height of an SVG, in pixels. */
export async function svgSize(bytes: Uint8Array): Promise<Size> {
  return ask({ bytes, render: false });
}

/**
 * Renders an SVG in a separate process, killed after ten seconds or above 2 GiB: filters and references can make a
 * small file arbitrarily expensive. The renderer, librsvg, reads no files or addresses referenced by the SVG.
 *
 * @throws {DrawingError} if a limit is exceeded; another error if the file is damaged.
 */
export async function drawSvg(bytes: Uint8Array): Promise<DrawnSvg> {
  return (await ask({ bytes, render: true })) as DrawnSvg;
}

let lastAnswer: Promise<unknown> = Promise.resolve();

/** Runs requests one at a time, to bound memory. */
function ask(request: SvgRequest): Promise<Size & { readonly pixels?: Uint8Array }> {
  const answer = lastAnswer.then(() => askNow(request));
  lastAnswer = answer.catch(() => undefined);
  return answer;
}

let painter: Promise<ChildProcess> | undefined;
/** The process of {@link painter}, set before it is ready. */
let current: ChildProcess | undefined;
let idle: NodeJS.Timeout | undefined;

async function askNow(request: SvgRequest): Promise<Size & { readonly pixels?: Uint8Array }> {
  clearTimeout(idle);
  const child = await (painter ??= start());
  keepAlive(child, true);
  try {
    const answered = answerOf(child, maxDrawingMs);
    child.send(request);
    const answer = await answered;
    if ("error" in answer) throw new Error(answer.error);
    if ("ready" in answer) throw new Error("the SVG process answered out of order");
    return answer;
  } finally {
    keepAlive(child, false);
    idle = setTimeout(stop, idleMs, child).unref();
  }
}

async function start(): Promise<ChildProcess> {
  const address = packageModule("inputs/image/svg-worker");
  const options: ForkOptions = {
    serialization: "advanced",
    execArgv: [],
    env: moduleEnvironment(),
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  };
  const child = runsFromSource
    ? fork(packageFile("src/engine/threads/source-worker.js"), [address.href], options)
    : fork(address, options);
  // Between drawings there is no other error listener.
  child.on("error", () => undefined);
  child.on("exit", () => forget(child));
  current = child;
  await answerOf(child, maxStartMs);
  return child;
}

function stop(child: ChildProcess): void {
  child.kill("SIGKILL");
  forget(child);
}

/** Forgets a process, unless its successor has already started. */
function forget(child: ChildProcess): void {
  if (current === child) painter = undefined;
}

/** Makes this process wait for the child, or not. */
function keepAlive(child: ChildProcess, needed: boolean): void {
  if (needed) child.ref();
  else child.unref();
  if (needed) child.channel?.ref();
  else child.channel?.unref();
}

/** The child's next message. A child that exceeds the time limit is killed; the next drawing starts another. */
function answerOf(child: ChildProcess, maxMs: number): Promise<SvgAnswer> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      child.off("message", onMessage).off("error", onError).off("exit", onExit);
    };
    const fail = (message: string) => {
      settle();
      stop(child);
      reject(new DrawingError(message));
    };
    const onMessage = (answer: SvgAnswer) => {
      settle();
      resolve(answer);
    };
    const onError = (error: Error) => fail(`cannot be drawn: the SVG process failed to start (${error.message})`);
    const onExit = (_: unknown, signal: string | null) =>
      fail(signal === "SIGKILL" ? tooCostly("more than 2 GiB of memory") : "cannot be drawn: the SVG process ended");
    const timer = setTimeout(() => fail(tooCostly(`more than ${maxMs / 1000} seconds`)), maxMs);
    child.on("message", onMessage).on("error", onError).on("exit", onExit);
  });
}

const tooCostly = (cost: string): string => `takes ${cost} to draw; simplify the drawing, or convert it to PNG`;
