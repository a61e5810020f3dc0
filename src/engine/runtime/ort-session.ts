import type * as ort from "onnxruntime-common";
import { type Dtype, zeros } from "../../core/dtype.ts";
import { ClipError } from "../../core/errors.ts";
import { checkOptions } from "../../core/options.ts";
import type { TensorData } from "../../core/tensor-data.ts";
import { type OnnxModel, packedWeights } from "../onnx/build.ts";
import type { Device } from "./devices.ts";
import { checkFeeds } from "./feeds.ts";
import { chooseRuntime, type OnnxRuntime } from "./onnxruntime.ts";
import { sessionKinds } from "./session-kinds.ts";

/** How a program is run. */
export interface SessionOptions {
  /** What computes. Default: in a page the graphics processor where there is one, elsewhere the processor. */
  readonly device?: Device | undefined;
  /**
   * Whether the processor may compute what the device does not (default); otherwise such a program is refused. Sizes that are only
   * known when it runs are always computed by the processor.
   */
  readonly fallback?: boolean | undefined;
  /** Threads for one run; by default as many as the machine has cores. */
  readonly threads?: number;
  /**
   * Set for programs with gradients: buffers are given back as soon as the last user of a tensor has run, and
   * recomputed tensors are not merged with the ones they stand for.
   */
  readonly training?: boolean;
  /**
   * Whether weights are put into the order that the kernels like best, once, before the first run (default). Without it a session
   * starts several times sooner, and each run is slower.
   */
  readonly prepack?: boolean | undefined;
  /**
   * Whether buffers are kept for the next run (default). Without it memory goes back to the system at once: much less is held, and
   * programs of small tensors take up to half as long again.
   */
  readonly arena?: boolean;
}

/** Named tensors that go into or come out of a run. */
export type NamedTensors = Readonly<Record<string, TensorData>>;

/**
 * A program that runs on the calling thread, which it blocks. Inside a worker that is what one wants; elsewhere use
 * `Session`.
 */
export class OrtSession {
  readonly inputs: OnnxModel["inputs"];
  readonly #session: ort.InferenceSession;
  readonly #runtime: OnnxRuntime;
  #released = false;

  private constructor(runtime: OnnxRuntime, session: ort.InferenceSession, { inputs }: OnnxModel) {
    [this.#runtime, this.#session, this.inputs] = [runtime, session, inputs];
  }

  /** @throws {ClipError} `CLIP_RUNTIME` if ONNX Runtime refuses the model, or cannot be loaded. */
  static async create(model: OnnxModel, options: SessionOptions = {}): Promise<OrtSession> {
    checkOptions("OrtSession.create", options, sessionKinds);
    const { device = "cpu", fallback = true, threads, training = false, prepack = true, arena = true } = options;
    const session: Record<string, unknown> = {
      ...(!prepack && { disable_prepacking: "1" }),
      ...(!fallback && { disable_cpu_ep_fallback: "1" }),
    };
    if (model.folder !== undefined) session["model_external_initializers_file_folder_path"] = model.folder;
    const { runtime, providers, ...chosen } = chooseRuntime(device, threads);
    try {
      const created = await runtime.InferenceSession.create(model.bytes, {
        ...(providers && { executionProviders: providers }),
        ...(model.weights && { externalData: [{ path: packedWeights, data: model.weights }] }),
        intraOpNumThreads: chosen.threads,
        interOpNumThreads: 1,
        executionMode: "sequential",
        // What goes wrong is thrown; ONNX Runtime need not print it as well.
        logSeverityLevel: 4,
        // The pattern plans one block for the whole step and keeps it; exact lifetimes need less.
        enableMemPattern: !training,
        enableCpuMemArena: arena,
        extra: {
          session,
          ...(training && { optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" } }),
        },
      });
      return new OrtSession(runtime, created, model);
    } catch (cause) {
      throw new ClipError("CLIP_RUNTIME", `ONNX Runtime refuses the program: ${(cause as Error).message}`, { cause });
    }
  }

  /**
   * Runs the program once. The outputs lie in ONNX Runtime's memory, which goes back when they are collected; passing
   * tensors to be written into would make it copy them once more.
   *
   * @param feeds - a tensor for each input, of its dtype and shape.
   * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown or of another dtype or shape.
   */
  async run(feeds: NamedTensors): Promise<Record<string, TensorData>> {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this session was released; create it again");
    checkFeeds(this.inputs, feeds);
    try {
      return mapValues(await this.#session.run(mapValues(feeds, (feed) => this.#toOrt(feed))), fromOrt);
    } catch (cause) {
      throw new ClipError("CLIP_RUNTIME", `ONNX Runtime stopped: ${(cause as Error).message}`, { cause });
    }
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#session.release();
  }

  #toOrt({ dtype, shape, data }: TensorData): ort.Tensor {
    // bfloat16 lies in files only: no program takes it in.
    return new this.#runtime.Tensor(dtype as Exclude<Dtype, "bfloat16">, data as never, shape);
  }
}

function fromOrt(tensor: ort.Tensor): TensorData {
  const dtype = tensor.type as Dtype;
  const shape = tensor.dims;
  return { dtype, shape, data: tensor.size === 0 ? zeros(dtype, 0) : (tensor.data as TensorData["data"]) };
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
