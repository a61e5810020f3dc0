import { sizeOf } from "../../../core/shape.ts";
import { float32, type TensorData } from "../../../core/tensor-data.ts";
import { buildModel } from "../../../engine/onnx/build.ts";
import { type NamedTensors, OrtSession } from "../../../engine/runtime/ort-session.ts";
import type { Program } from "./programs.ts";

/**
 * Models with at least this many parameters run without ONNX Runtime's arena: just as fast, with up to a quarter less memory
 * (docs/performance.md).
 */
const arenaLimit = 100_000_000;

/** The programs of a training step, each compiled when it first runs. */
export class Sessions implements AsyncDisposable {
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #arena: boolean;
  readonly #sessions = new Map<string, Promise<OrtSession>>();

  /** @param shapes - of the parameters, by path. */
  constructor(shapes: ReadonlyMap<string, readonly number[]>) {
    this.#shapes = shapes;
    this.#arena = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0) < arenaLimit;
  }

  /** Runs a program; inputs missing from `feeds` are parameters. */
  async run(
    name: string,
    program: () => Program,
    feeds: NamedTensors,
    parameters: ReadonlyMap<string, Float32Array>,
  ): Promise<Record<string, TensorData>> {
    if (!this.#sessions.has(name)) {
      const options = { training: true, arena: this.#arena };
      this.#sessions.set(name, OrtSession.create(buildModel(program()), options));
    }
    const session = await this.#sessions.get(name)!;
    // A program has no input for a tensor it does not use, such as the images when their tower is locked.
    const used = session.inputs.map(
      ({ name }) => [name, feeds[name] ?? float32(parameters.get(name)!, this.#shapes.get(name)!)] as const,
    );
    return session.run(Object.fromEntries(used));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
  }
}
