import { differences } from "../checkpoints/configs/differences.ts";
import { inferConfig } from "../checkpoints/infer-config.ts";
import { type StoredTensor } from "../checkpoints/stored-tensor.ts";
import { ClipError } from "../../core/errors.ts";
import { clipPreprocess } from "../../inputs/image/preprocess-config.ts";
import { type Conversion, repositoryOf } from "./convert.ts";
import { hasVocabulary } from "./model-files.ts";
import type { StoredModel } from "./model-folder.ts";

/**
 * What the readers of another's files would take wrongly of a converted model, in sentences: their files have no place for it.
 */
export async function misread(model: StoredModel, to: Conversion): Promise<string[]> {
  const { config, vocabulary } = model;
  const complete = await hasVocabulary(vocabulary, config);
  const missing = complete
    ? []
    : [`the model came without its vocabulary of ${config.text.vocabSize} tokens: put that beside what was written`];
  if (to === "openai") return [...missing, ...byBareFile(model)];
  if (to !== "open_clip") return missing;
  if (vocabulary.kind === "json" && repositoryOf(model) === undefined)
    return [
      ...missing,
      "open_clip fetches such a vocabulary from Hugging Face's hub, and nothing says from where: write it into " +
        "open_clip_config.json as text_cfg.hf_tokenizer_name",
    ];
  if (vocabulary.kind === "json" || (vocabulary.kind === "clip" && complete)) return missing;
  return [
    ...missing,
    "open_clip reads no vocabulary from the folder and would take OpenAI's for this model's: give it the ids of " +
      "clip-ts tokenize, or of the tokenizer that --to hf writes",
  ];
}

/** A bare file says shapes and nothing else. */
function byBareFile(model: StoredModel): string[] {
  const { config, preprocess, vocabulary } = model;
  const { mean, std, resample } = clipPreprocess;
  const isSame = (ours: readonly number[], theirs: readonly number[]) => ours.every((value, i) => value === theirs[i]);
  const images = {
    mean: isSame(preprocess.mean, mean) || preprocess.mean.join(" "),
    std: isSame(preprocess.std, std) || preprocess.std.join(" "),
    resample: preprocess.resample === resample || preprocess.resample,
    resizeMode: preprocess.resizeMode !== "squash" || preprocess.resizeMode,
  };
  const other = Object.entries(images).flatMap(([key, value]) => (value === true ? [] : [`${key} ${value}`]));
  const unsaid = unsaidByShapes(model);
  return [
    ...(unsaid ? [`a reader that goes by shapes takes another model for this one (${unsaid}): give it --config`] : []),
    ...(config.activation === "quickGelu"
      ? []
      : [`OpenAI's code computes quickGelu whatever the file, and this model was trained with ${config.activation}`]),
    ...(other.length > 0 ? [`OpenAI's code prepares images otherwise than this model wants: ${other.join(", ")}`] : []),
    ...(vocabulary.kind === "clip" ? [] : ["OpenAI's code has the published vocabulary, and this model another"]),
  ];
}

function unsaidByShapes({ config, parameters, path }: StoredModel): string | undefined {
  const tensors = Array.from(parameters, ([name, { shape }]): [string, StoredTensor] => [
    name,
    { dtype: "F32", shape, file: path, byteOffset: 0, byteLength: 0 },
  ]);
  try {
    return differences(inferConfig(new Map(tensors), config.activation, path), config).join(", ") || undefined;
  } catch (error) {
    if (!(error instanceof ClipError)) throw error;
    return `its width of ${config.vision.width} or ${config.text.width} does not tell its heads`;
  }
}
