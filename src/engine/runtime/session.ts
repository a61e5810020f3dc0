import type { TypedArray } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { checkKind, checkOptions, flag, type OptionKinds, record } from "../../core/options.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { OnnxModel } from "../onnx/build.ts";
import { bestDevice, type Device } from "./devices.ts";
import { Engine } from "./session-thread.ts";
import { checkFeeds } from "./feeds.ts";
import type { NamedTensors, SessionOptions } from "./ort-session.ts";
import { prepareProgram, type WeightOptions } from "./program.ts";
import { sessionKinds, weightKinds } from "./session-kinds.ts";

/** How a program is compiled, and in a page how its weights are fetched. */
export interface CompileOptions extends SessionOptions, WeightOptions {}

const compileKinds: OptionKinds<CompileOptions> = { ...sessionKinds, ...weightKinds };

/** How a run takes its feeds. */
export interface RunOptions {
  /** Whether their arrays go to the session for good. Default false. */
  readonly move?: boolean | undefined;
}

const runKinds: OptionKinds<RunOptions> = { move: flag };

/**
 * A compiled program. It runs on a worker thread that all sessions of the process share, so timers, signals and
 * requests stay alive while it does. `await using` gives its memory back.
 */
export class Session implements AsyncDisposable {
  readonly inputs: OnnxModel["inputs"];
  readonly outputs: OnnxModel["outputs"];
  readonly #engine: Engine;
  readonly #id: number;
  #released = false;

  private constructor(engine: Engine, id: number, { inputs, outputs }: OnnxModel) {
    [this.#engine, this.#id, this.inputs, this.outputs] = [engine, id, inputs, outputs];
  }

  /**
   * Lowers and compiles what the outputs need.
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
      // What the processor can do must not fail for a graphics processor that nobody asked for.
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
    const engine = Engine.acquire(device);
    try {
      const moved = model.weights ? [model.bytes, model.weights] : [model.bytes];
      const id = await engine.call("create", [model, { ...settings, device }], moved);
      return new Session(engine, id, model);
    } catch (error) {
      await engine.giveBack();
      throw error;
    }
  }

  /**
   * Runs the program once; runs of several callers happen one after the other.
   *
   * @param feeds - a tensor for each input, of its dtype and shape; they are copied.
   * @param options - `move: true` gives the feeds away instead: their arrays are empty afterwards, and nothing is copied but
   *   views of larger arrays and of shared memory.
   * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown or of another dtype or shape, or the session was
   *   released.
   */
  async run(feeds: NamedTensors, options: RunOptions = {}): Promise<NamedTensors> {
    checkOptions("Session.run", options, runKinds);
    const { move = false } = options;
    if (this.#released) throw new ClipError("CLIP_USAGE", "this session was released; compile the program again");
    checkFeeds(this.inputs, feeds);
    const own = Object.fromEntries(
      Object.entries(feeds).map(([name, feed]) => [
        name,
        { ...feed, data: move && fillsItsBuffer(feed.data) ? feed.data : feed.data.slice() },
      ]),
    );
    const arrays = Object.values(own).map(({ data }) => data);
    return this.#engine.call("run", [this.#id, own], arrays);
  }

  /** Gives the memory back; the worker ends with its last session. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#engine.call("release", [this.#id]).finally(() => this.#engine.giveBack());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** Whether an array can travel to another thread without dragging along what lies beside it. */
function fillsItsBuffer({ buffer, byteLength }: TypedArray): boolean {
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
}
