/** A model's files other than weights. */
export const companions =
  /^(config|preprocessor_config|processor_config|open_clip_config|tokenizer|tokenizer_config|vocab)\.json$|^merges\.txt$/;

/** open_clip's config; in folders with it, open_clip's weights take precedence. */
export const openClipConfigName = "open_clip_config.json";
const openClipWeights = [
  "open_clip_model.safetensors",
  "open_clip_pytorch_model.safetensors",
  "open_clip_pytorch_model.bin",
];
/** Index files of sharded weights, and their shards. */
const shards: Readonly<Record<string, RegExp>> = {
  "model.safetensors.index.json": /^model-\d+-of-\d+\.safetensors$/,
  "pytorch_model.bin.index.json": /^pytorch_model-\d+-of-\d+\.bin$/,
};
const transformersWeights = ["model.safetensors", "pytorch_model.bin"].flatMap((name) => [name, `${name}.index.json`]);

/**
 * Possible names of a folder's weights, in order of preference. In repositories with open_clip's config, `model.safetensors`
 * may hold only the image tower, for timm.
 */
export function weightNames(hasOpenClipConfig: boolean): string[] {
  return hasOpenClipConfig
    ? [...openClipWeights, ...transformersWeights]
    : [...transformersWeights, ...openClipWeights];
}

/** A model's weights among the file names of a folder: one file, or an index and its shards. */
export function weightsAmong(names: readonly string[]): string[] {
  const first = weightNames(names.includes(openClipConfigName)).find((name) => names.includes(name));
  if (first === undefined) return [];
  const shard = shards[first];
  return shard ? [first, ...names.filter((name) => shard.test(name))] : [first];
}
