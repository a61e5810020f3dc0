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

export interface SessionOptions {
  /** Default: in a page the GPU if there is one, elsewhere the CPU. */
  readonly device?: Device | undefined;
  /**
   * Lets the CPU compute ops that the device does not support (default); otherwise such a program is refused. Symbolic
   * sizes are always computed by the CPU.
   */
  readonly fallback?: boolean | undefined;
  /** Threads for one run. Default: the number of cores. */
  readonly threads?: number;
  /**
   * Set for programs with gradients: each buffer is freed after its last use, and recomputed tensors are not merged
   * with the originals.
   */
  readonly training?: boolean;
  /**
   * Reorders weights for the kernels once, when the session is created (default). Without it a session starts several
   * times faster, but each run is slower.
   */
  readonly prepack?: boolean | undefined;
  /**
   * Keeps buffers for the next run (default). Without it memory is returned to the system at once, which needs much
   * less memory, but programs with small tensors take up to 50% longer.
   */
  readonly arena?: boolean;
  /**
   * Lets threads wait actively for the next run (default), which then starts sooner. Sessions that run in turn, many
   * times a second, should not: each would take the cores of the next.
   */
  readonly spin?: boolean;
}

/** Inputs or outputs of a run, by name. */
export type NamedTensors = Readonly<Record<string, TensorData>>;

/**
 * A compiled program that blocks the calling thread while it runs; for worker threads. Elsewhere use `Session`.
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
    const {
      device = "cpu",
      fallback = true,
      threads,
      training = false,
      prepack = true,
      arena = true,
      spin = true,
    } = options;
    const session: Record<string, unknown> = {
      ...(!prepack && { disable_prepacking: "1" }),
      ...(!fallback && { disable_cpu_ep_fallback: "1" }),
      ...(!spin && { intra_op: { allow_spinning: "0" } }),
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
        // Errors are thrown, so ONNX Runtime need not print them.
        logSeverityLevel: 4,
        // The memory pattern keeps one block for a whole step; exact lifetimes need less.
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
   * Runs the program once. The outputs are in ONNX Runtime's memory, freed when they are garbage collected;
   * preallocated outputs would cost another copy.
   *
   * @param feeds - a tensor for each input, of its dtype and shape.
   * @throws {ClipError} `CLIP_USAGE` if a feed is missing, unknown, or of the wrong dtype or shape.
   */
  async run(feeds: NamedTensors): Promise<Record<string, TensorData>> {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this session was released; create it again");
    checkFeeds(this.inputs, feeds);
    try {
      return mapValues(await this.#session.run(mapValues(feeds, (feed) => this.#toOrt(feed))), fromOrt);
    } catch (cause) {
      throw new ClipError("CLIP_RUNTIME", `ONNX Runtime failed: ${(cause as Error).message}`, { cause });
    }
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#session.release();
  }

  #toOrt({ dtype, shape, data }: TensorData): ort.Tensor {
    // bfloat16 occurs only in files, never as a feed.
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
