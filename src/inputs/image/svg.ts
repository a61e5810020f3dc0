import { type ChildProcess, fork, type ForkOptions } from "node:child_process";
import { moduleEnvironment, packageFile, packageModule, runsFromSource } from "../../core/package-files.ts";
import type { Size } from "./raster-image.ts";
import { xmlEncoding } from "./sniff.ts";

/** What the process that draws is asked for: the size of a drawing, or its pixels as well. */
export interface SvgRequest {
  readonly bytes: Uint8Array;
  readonly render: boolean;
}

/** What it answers. */
export type SvgAnswer =
  { readonly ready: true } | { readonly error: string } | (Size & { readonly pixels?: Uint8Array });

/** A drawn SVG: RGBA, straight alpha. */
export interface DrawnSvg extends Size {
  readonly pixels: Uint8Array;
}

/** Why a drawing that may well be valid has not been drawn, and the way out; the message continues the image's name. */
export class DrawingError extends Error {}

/** Time for one drawing; those of icons and diagrams take milliseconds. */
const maxDrawingMs = 10_000;
/** Time for the process to start, on a machine that has much to do. */
const maxStartMs = 60_000;
/** An unused process is kept for so long. */
const idleMs = 10_000;

/** An SVG in UTF-8, where it is in UTF-16: libvips takes that for no SVG. */
export function inUtf8(bytes: Uint8Array): Uint8Array {
  const encoding = xmlEncoding(bytes);
  if (encoding === "utf-8") return bytes;
  const text = new TextDecoder(encoding).decode(bytes);
  return Buffer.from(text.replace(/^<\?xml[^>]*>/, "")); // which may name the other encoding
}

/** The width and height that an SVG asks for, in pixels. */
export async function svgSize(bytes: Uint8Array): Promise<Size> {
  return ask({ bytes, render: false });
}

/**
 * Draws an SVG in a process of its own, which ends when the drawing takes longer than ten seconds or more than 2 GiB: filters and
 * references make a small file cost any amount of either. librsvg, which draws, reads no file and no address that the SVG names.
 *
 * @throws {DrawingError} Where a limit is met; another error where the file is damaged.
 */
export async function drawSvg(bytes: Uint8Array): Promise<DrawnSvg> {
  return (await ask({ bytes, render: true })) as DrawnSvg;
}

let lastAnswer: Promise<unknown> = Promise.resolve();

/** One at a time, so that the memory of all is that of one. */
function ask(request: SvgRequest): Promise<Size & { readonly pixels?: Uint8Array }> {
  const answer = lastAnswer.then(() => askNow(request));
  lastAnswer = answer.catch(() => undefined);
  return answer;
}

let painter: Promise<ChildProcess> | undefined;
/** The process of {@link painter}, from its start. */
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
    if ("ready" in answer) throw new Error("the process that draws SVG has mixed up its answers");
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
  // Between drawings nobody else listens.
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

/** A process that was killed ends a moment later: the next may have started by then, and stays. */
function forget(child: ChildProcess): void {
  if (current === child) painter = undefined;
}

/** Whether this process must not end before that one has answered. */
function keepAlive(child: ChildProcess, needed: boolean): void {
  if (needed) child.ref();
  else child.unref();
  if (needed) child.channel?.ref();
  else child.channel?.unref();
}

/** The next message. A process that does not answer in time is killed, and another is started for the next drawing. */
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
    const onError = (error: Error) =>
      fail(`cannot be drawn: the process that draws SVG does not run (${error.message})`);
    const onExit = (_: unknown, signal: string | null) =>
      fail(
        signal === "SIGKILL"
          ? tooCostly("more than 2 GiB of memory")
          : "cannot be drawn: the process that draws SVG has ended",
      );
    const timer = setTimeout(() => fail(tooCostly(`more than ${maxMs / 1000} seconds`)), maxMs);
    child.on("message", onMessage).on("error", onError).on("exit", onExit);
  });
}

const tooCostly = (cost: string): string => `takes ${cost} to draw; simplify the drawing, or convert it to PNG`;
