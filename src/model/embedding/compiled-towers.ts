import { ClipError } from "../../core/errors.ts";
import { input, type Tensor } from "../../engine/graph/tensor.ts";
import type { NamedTensors } from "../../engine/runtime/ort-session.ts";
import { type CompileOptions, type RunOptions, Session } from "../../engine/runtime/session.ts";
import { storedParameters } from "../checkpoints/load.ts";
import { type QuantizedDtype, quantizedParameters } from "../checkpoints/quantize.ts";
import type { StoredModel } from "../pretrained/model-folder.ts";
import { type Clip, encodeImage, encodeText } from "../towers/clip.ts";
import { imageTower } from "../towers/image-tower.ts";
import { towerMatrices } from "../towers/matrices.ts";
import { clipParameters } from "../towers/parameters.ts";

/** How the towers of a model are compiled and run. */
export interface EncoderOptions extends Pick<CompileOptions, "device" | "onProgress" | "signal"> {
  /** Whether ONNX Runtime rearranges the weights for speed when a tower starts. Default true; false suits a handful of inputs. */
  readonly prepack?: boolean | undefined;
  /** Quantizes linear layers to 8 or 4 bits when a tower starts, to save memory. Vectors change slightly. Default: off. */
  readonly dtype?: QuantizedDtype | undefined;
}

/** A program made of one tower. */
type TowerProgram = (model: StoredModel, parameters: Clip) => Record<string, Tensor>;

/** Table: the programs, each with the tower whose weights it reads. */
const programs = {
  images: { tower: "vision", build: imageProgram((...args) => encodeImage(...args)) },
  pooledImages: { tower: "vision", build: imageProgram((p, ...args) => imageTower(p.vision, ...args).pooled) },
  texts: { tower: "text", build: textProgram },
} as const satisfies Record<string, { tower: "vision" | "text"; build: TowerProgram }>;

function imageProgram(tower: (p: Clip, config: StoredModel["config"], pixelValues: Tensor) => Tensor): TowerProgram {
  return ({ config }, parameters) => {
    const { imageSize } = config.vision;
    return { vectors: tower(parameters, config, input("pixelValues", ["images", 3, imageSize, imageSize])) };
  };
}

function textProgram({ config }: StoredModel, parameters: Clip): Record<string, Tensor> {
  const inputIds = input("inputIds", ["texts", "length"], "int32");
  const endOfText = input("endOfText", ["texts"], "int32");
  return { vectors: encodeText(parameters, config, { inputIds, endOfText }) };
}

/** A model's towers, each compiled when it is first needed. */
export class CompiledTowers {
  readonly #model: StoredModel;
  readonly #options: EncoderOptions;
  readonly #sessions = new Map<keyof typeof programs, Promise<Session>>();
  #released = false;

  constructor(model: StoredModel, options: EncoderOptions) {
    this.#model = model;
    this.#options = options;
  }

  /**
   * A vector for each image or text, [rows, width].
   *
   * @throws {ClipError} `CLIP_USAGE` if the model was released.
   */
  async run(program: keyof typeof programs, feeds: NamedTensors, options?: RunOptions) {
    this.refuseReleased();
    const session = await this.#session(program);
    // It may have been released meanwhile; from here to the run nothing can intervene.
    this.refuseReleased();
    return (await session.run(feeds, options))["vectors"]!;
  }

  refuseReleased(): void {
    if (this.#released) throw new ClipError("CLIP_USAGE", "this model was released; load it again");
  }

  /** Frees the memory of all towers, even if one fails to end. */
  async release(): Promise<void> {
    this.#released = true;
    const ended = await Promise.allSettled(
      Array.from(this.#sessions.values(), async (session) => (await session.catch(() => undefined))?.release()),
    );
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  }

  #session(program: keyof typeof programs): Promise<Session> {
    const before = this.#sessions.get(program);
    if (before) return before;
    const session = this.#compile(program);
    this.#sessions.set(program, session);
    // A failed promise is dropped, so that the next call tries again.
    session.catch(() => this.#sessions.delete(program));
    return session;
  }

  async #compile(program: keyof typeof programs): Promise<Session> {
    const { tower, build } = programs[program];
    const { dtype, ...options } = this.#options;
    const { config, parameters } = this.#model;
    const specs = clipParameters(config);
    const weights = dtype
      ? await quantizedParameters(specs, parameters, towerMatrices(config, tower), dtype)
      : storedParameters(specs, parameters);
    // Codes are always prepacked: otherwise the kernels widen them to float32 in every run.
    return Session.compile(build(this.#model, weights), dtype ? { ...options, prepack: true } : options);
  }
}
