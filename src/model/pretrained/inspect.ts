import { sizeOf } from "../../core/shape.ts";
import { isDeepStrictEqual } from "node:util";
import { checkKind, checkOptions, text } from "../../core/options.ts";
import { openWeightFile, type WeightFile } from "../checkpoints/weight-file.ts";
import { translateNames } from "../checkpoints/load.ts";
import { type ClipConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import type { PreprocessConfig } from "../../inputs/image/preprocess-config.ts";
import { findModelFiles, hasVocabulary, readModelKinds, type ReadModelOptions } from "./model-files.ts";
import { readModel } from "./model-folder.ts";

export interface ModelReport {
  readonly path: string;
  readonly weights: string;
  readonly container: WeightFile["container"];
  /** Library whose tensor names it has. */
  readonly layout: string;
  /** Keys in `clipConfigs` of this architecture. */
  readonly architectures: readonly string[];
  /** Number of values, including running statistics. */
  readonly parameters: number;
  /** Bytes of the weights, by dtype. */
  readonly bytes: Readonly<Record<string, number>>;
  readonly logitScale: number;
  readonly logitBias: number;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  /** File of the vocabulary, or `clip` for the published one; null if the model comes without one. */
  readonly vocabulary: string | null;
}

/**
 * Describes a model's files and checks that they fit together. Weights are not loaded.
 *
 * @throws {ClipError} see `readModel`.
 */
export async function inspectModel(path: string, options: ReadModelOptions = {}): Promise<ModelReport> {
  checkKind("inspectModel: the path", path, text);
  checkOptions("inspectModel", options, readModelKinds);
  const { weights, vocabulary } = await findModelFiles(path, options);
  const { container, tensors } = await openWeightFile(weights);
  const { config, preprocess, parameters, logitScale, logitBias } = await readModel(path, options);
  const bytes: Record<string, number> = {};
  let count = 0;
  for (const parameter of parameters.values()) {
    count += sizeOf(parameter.shape);
    for (const { dtype, byteLength } of "parts" in parameter ? parameter.parts : [])
      bytes[dtype] = (bytes[dtype] ?? 0) + byteLength;
  }
  return {
    path,
    weights,
    container,
    layout: translateNames(tensors, weights).layout.title,
    architectures: Object.entries<ClipConfig>(clipConfigs).flatMap(([name, known]) =>
      isDeepStrictEqual(known, config) ? [name] : [],
    ),
    parameters: count,
    bytes,
    logitScale,
    logitBias,
    config,
    preprocess,
    vocabulary: (await hasVocabulary(vocabulary, config))
      ? vocabulary.kind === "clip"
        ? "clip"
        : vocabulary.file
      : null,
  };
}
