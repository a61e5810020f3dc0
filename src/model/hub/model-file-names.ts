/** What belongs to a model beside its weights. */
export const companions =
  /^(config|preprocessor_config|processor_config|open_clip_config|tokenizer|tokenizer_config|vocab)\.json$|^merges\.txt$/;

/** open_clip's config: where it is, its weights come first. */
export const openClipConfigName = "open_clip_config.json";
const openClipWeights = [
  "open_clip_model.safetensors",
  "open_clip_pytorch_model.safetensors",
  "open_clip_pytorch_model.bin",
];
/** Indices of weights in several files, and the names of these. */
const shards: Readonly<Record<string, RegExp>> = {
  "model.safetensors.index.json": /^model-\d+-of-\d+\.safetensors$/,
  "pytorch_model.bin.index.json": /^pytorch_model-\d+-of-\d+\.bin$/,
};
const transformersWeights = ["model.safetensors", "pytorch_model.bin"].flatMap((name) => [name, `${name}.index.json`]);

/**
 * Names under which a folder's weights may be, in the order of preference. In repositories with open_clip's config,
 * `model.safetensors` may be the image tower alone, as timm reads it.
 */
export function weightNames(hasOpenClipConfig: boolean): string[] {
  return hasOpenClipConfig
    ? [...openClipWeights, ...transformersWeights]
    : [...transformersWeights, ...openClipWeights];
}

/** The weights of a model among the names of a folder's files: one file, or an index with what it lists. */
export function weightsAmong(names: readonly string[]): string[] {
  const first = weightNames(names.includes(openClipConfigName)).find((name) => names.includes(name));
  if (first === undefined) return [];
  const shard = shards[first];
  return shard ? [first, ...names.filter((name) => shard.test(name))] : [first];
}
