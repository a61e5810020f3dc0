import type { TypedArray } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, flag, type OptionKinds, record } from "../../core/options.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { OnnxModel } from "../onnx/build.ts";
import { bestDevice, type Device } from "./devices.ts";
import { SessionThread } from "./session-thread.ts";
import { checkFeeds } from "./feeds.ts";
import type { NamedTensors, SessionOptions } from "./ort-session.ts";
import { prepareProgram, type WeightOptions } from "./program.ts";
import { sessionKinds, weightKinds } from "./session-kinds.ts";

/** Options for compiling a program, and in a page for fetching its weights. */
export interface CompileOptions extends SessionOptions, WeightOptions {}

const compileKinds: OptionKinds<CompileOptions> = { ...sessionKinds, ...weightKinds };

export interface RunOptions {
  /** Transfers the feeds' arrays to the session instead of copying them. Default false. */
  readonly move?: boolean | undefined;
}

const runKinds: OptionKinds<RunOptions> = { move: flag };

/**
 * A compiled program. It runs on a worker thread shared by all sessions of a device, so timers, signals and requests
 * stay responsive. `await using` releases its memory.
 */
export class Session implements AsyncDisposable {
  readonly inputs: OnnxModel["inputs"];
  readonly outputs: OnnxModel["outputs"];
  readonly #thread: SessionThread;
  readonly #id: number;
  #released = false;

  private constructor(thread: SessionThread, id: number, { inputs, outputs }: OnnxModel) {
    [this.#thread, this.#id, this.inputs, this.outputs] = [thread, id, inputs, outputs];
  }

  /**
   * Compiles the program that computes the outputs.
   *
   * @throws {ClipError} `CLIP_RUNTIME` if ONNX Runtime refuses the program.
   */
  static async compile(outputs: Readonly<Record<string, Tensor>>, options: CompileOptions = {}): Promise<Session> {
    checkKind("Session.compile: outputs", outputs, record);
    checkOptions("Session.compile", options, compileKinds);
    const { device = await bestDevice() } = options;
    try {
      return await Session.#compileOn(device, outputs, options);
    } catch (error) {
      // Fall back to the CPU if the GPU was chosen by default.
      if (options.device || device === "cpu" || options.signal?.aborted) throw error;
      return Session.#compileOn("cpu", outputs, options);
    }
  }

  static async #compileOn(
    device: Device,
    outputs: Readonly<Record<string, Tensor>>,
    { onProgress, signal, ...settings }: CompileOptions,
  ): Promise<Session> {
    const model = await prepareProgram(outputs, { onProgress, signal });
    const thread = SessionThread.acquire(device);
    try {
      const moved = model.weights ? [model.bytes, model.weights] : [model.bytes];
      const id = await thread.call("create", [model, { ...settings, device }], moved);
      return new Session(thread, id, model);
    } catch (error) {
      await thread.giveBack();
      throw error;
    }
  }

  /**
   * Runs the program once; concurrent runs are queued.
   *
   * @param feeds - a tensor for each input, of its dtype and shape; copied.
   * @param options - `move: true` transfers the feeds instead: their arrays are empty afterwards. Views of larger
   *   arrays and of shared memory are still copied.
   * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown, or of the wrong dtype or shape, or the session was
   *   released.
   */
  async run(feeds: NamedTensors, options: RunOptions = {}): Promise<NamedTensors> {
    checkOptions("Session.run", options, runKinds);
    const { move = false } = options;
    if (this.#released) throw new ClipError("CLIP_USAGE", "this session was released; compile the program again");
    checkFeeds(this.inputs, feeds);
    const own = Object.entries(feeds).map(([name, feed]) => {
      const data = move && fillsItsBuffer(feed.data) ? feed.data : feed.data.slice();
      return [name, { ...feed, data }] as const;
    });
    const arrays = own.map(([, { data }]) => data);
    return this.#thread.call("run", [this.#id, Object.fromEntries(own)], arrays);
  }

  /** Releases the memory; the worker ends with its last session. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#thread.call("release", [this.#id]).finally(() => this.#thread.giveBack());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** True if an array fills its whole buffer, so that transferring it moves nothing else. */
function fillsItsBuffer({ buffer, byteLength }: TypedArray): boolean {
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
}
