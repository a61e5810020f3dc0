import { createHash } from "node:crypto";
import { ClipError } from "../../../core/errors.ts";
import { pick } from "../../../core/pick.ts";
import type { Group } from "../../../engine/distributed/group.ts";
import { AdamW, type AdamwOptions } from "../../../engine/optimize/adamw.ts";
import type { Moment } from "../../../engine/optimize/adamw-part.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import type { ClipConfig } from "../../../model/towers/config.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { type ParameterChoice, trainedParameters } from "./trained-parameters.ts";

/** The state that a checkpoint stores. Arrays are read one at a time: those of a ViT-B/32 total 2 GB. */
export interface SavedState {
  /** Updates made. */
  readonly steps: number;
  /**
   * Elements of each array by name: `parameter.` (running statistics included), the optimizer's `first.` and `second.` moments
   * or the moving `average.`, then a path.
   */
  readonly lengths: ReadonlyMap<string, number>;
  /** A copy of an array. */
  read(name: string): Promise<Float32Array>;
}

/** A destination for a saved state. */
interface StateTarget {
  readonly lengths: ReadonlyMap<string, number>;
  write(name: string, values: Float32Array): Promise<void>;
  resumeAt(steps: number): Promise<void> | void;
}

/** The choices that decide which arrays a state has. */
export interface StateOptions extends AdamwOptions, ParameterChoice {
  readonly config: ClipConfig;
  /** Decay of the moving average of the weights, in [0, 1); no average without it. */
  readonly emaDecay?: number | undefined;
}

/** The arrays that training changes: parameters, AdamW's moments, the moving average of the weights. */
export class TrainerState implements SavedState, StateTarget, AsyncDisposable {
  readonly parameters: Map<string, Float32Array>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly adamw: AdamW;
  /** Paths of the parameters that are trained. */
  readonly trained: ReadonlySet<string>;
  readonly average: ReadonlyMap<string, Float32Array> | undefined = undefined;

  private constructor(
    { config, emaDecay }: StateOptions,
    parameters: Map<string, Float32Array>,
    adamw: AdamW,
    trained: ReadonlySet<string>,
  ) {
    this.parameters = parameters;
    this.shapes = new Map(Array.from(parameterSpecs(clipParameters(config)), ([path, { shape }]) => [path, shape]));
    this.adamw = adamw;
    this.trained = trained;
    if (emaDecay !== undefined)
      this.average = new Map(Array.from(parameters, ([path, values]) => [path, values.slice()]));
  }

  /** @param parameters - initial values by path; the state takes ownership. */
  static async create(options: StateOptions, parameters: Map<string, Float32Array>): Promise<TrainerState> {
    const trained = trainedParameters(options.config, options);
    const adamw = await AdamW.create(pick(options, ["beta1", "beta2", "epsilon", "weightDecay"]), trained);
    return new TrainerState(options, parameters, adamw, new Set(trained.map(({ path }) => path)));
  }

  get steps(): number {
    return this.adamw.steps;
  }

  get lengths(): ReadonlyMap<string, number> {
    const named = (group: string, paths: Iterable<string>) =>
      Array.from(paths, (path) => [`${group}.${path}`, this.parameters.get(path)!.length] as const);
    return new Map([
      ...named("parameter", this.parameters.keys()),
      ...named("first", this.trained),
      ...named("second", this.trained),
      ...named("average", this.average?.keys() ?? []),
    ]);
  }

  async read(name: string): Promise<Float32Array> {
    const { moment, path, values } = this.#find(name);
    return moment ? this.adamw.read(moment, path) : values!.slice();
  }

  async write(name: string, values: Float32Array): Promise<void> {
    const { moment, path, values: own } = this.#find(name);
    if (moment) await this.adamw.write(moment, path, values);
    else own!.set(values);
  }

  resumeAt(steps: number): void {
    this.adamw.steps = steps;
  }

  /** Copies the state of rank 0, to the bit; all ranks call it. */
  async copyFromFirst(group: Group, steps: number): Promise<void> {
    for (const name of this.lengths.keys()) {
      const values = await this.read(name);
      group.broadcast(values);
      await this.write(name, values);
    }
    this.resumeAt(steps);
  }

  /** Equal for parameters that are equal to the bit. */
  checksum(): string {
    const hash = createHash("sha256");
    for (const values of this.parameters.values()) hash.update(values);
    return hash.digest("hex");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.adamw[Symbol.asyncDispose]();
  }

  /** The array with this name, or the moment if the optimizer holds it. */
  #find(name: string): { path: string; moment?: Moment; values?: Float32Array } {
    const dot = name.indexOf(".");
    const group = name.slice(0, dot);
    const path = name.slice(dot + 1);
    if (group === "first" || group === "second") return { path, moment: group };
    return { path, values: (group === "average" ? this.average! : this.parameters).get(path)! };
  }
}

/**
 * Copies a saved state into another state.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it belongs to another model; the target is then unchanged.
 */
export async function restoreState(target: StateTarget, state: SavedState): Promise<void> {
  for (const [name, length] of target.lengths) {
    const saved = state.lengths.get(name);
    if (saved === length) continue;
    const both = `${name} has ${saved ?? "no"} elements, expected ${length}`;
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `the checkpoint belongs to another model: ${both}; resume with the run's own model, or start a new run in another folder`,
    );
  }
  for (const name of target.lengths.keys()) await target.write(name, await state.read(name));
  await target.resumeAt(state.steps);
}
