import { differences } from "../checkpoints/configs/differences.ts";
import { inferConfig } from "../checkpoints/infer-config.ts";
import { type StoredTensor } from "../checkpoints/stored-tensor.ts";
import { ClipError } from "../../core/errors.ts";
import { clipPreprocess } from "../../inputs/image/preprocess-config.ts";
import { type Conversion, repositoryOf } from "./convert.ts";
import { hasVocabulary } from "./model-files.ts";
import type { StoredModel } from "./model-folder.ts";

/** Warnings about properties of a model that are lost in a conversion, because the target's files cannot express them. */
export async function misread(model: StoredModel, to: Conversion): Promise<string[]> {
  const { config, vocabulary } = model;
  const complete = await hasVocabulary(vocabulary, config);
  const missing = complete
    ? []
    : [`the model came without its vocabulary of ${config.text.vocabSize} tokens; put it beside the written files`];
  if (to === "openai") return [...missing, ...byBareFile(model)];
  if (to !== "open_clip") return missing;
  if (vocabulary.kind === "json" && repositoryOf(model) === undefined)
    return [
      ...missing,
      "open_clip fetches such a vocabulary from Hugging Face's hub, but its repository is unknown; write it into " +
        "open_clip_config.json as text_cfg.hf_tokenizer_name",
    ];
  if (vocabulary.kind === "json" || (vocabulary.kind === "clip" && complete)) return missing;
  return [
    ...missing,
    "open_clip reads no vocabulary from the folder and would use OpenAI's; give it input ids from clip-ts tokenize, or from " +
      "the tokenizer that --to hf writes",
  ];
}

/** Warnings for a bare weight file, which has only names and shapes. */
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
    ...(unsaid ? [`the shapes alone suggest another architecture (${unsaid}); read the file with --config`] : []),
    ...(config.activation === "quickGelu"
      ? []
      : [`OpenAI's code always computes quickGelu, but this model was trained with ${config.activation}`]),
    ...(other.length > 0 ? [`OpenAI's code does not preprocess images as this model needs: ${other.join(", ")}`] : []),
    ...(vocabulary.kind === "clip" ? [] : ["OpenAI's code has its own vocabulary, but this model has another"]),
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
    return `unknown number of heads for a width of ${config.vision.width} or ${config.text.width}`;
  }
}
