/**
 * OpenAI's tensor names, as patterns, to ours. `*` stands for one part of a name, the same on both sides, in order;
 * `null` for what we have no use for. open_clip's `CLIP` class has the same names.
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/model.py`.
 */
export type NameTable = Readonly<Record<string, string | null>>;

/** A convolution and the batch norm behind it. */
function convNorm(conv: string, norm: string, ours: string): NameTable {
  return {
    [`${conv}.weight`]: `${ours}.kernel`,
    [`${norm}.weight`]: `${ours}.norm.weight`,
    [`${norm}.bias`]: `${ours}.norm.bias`,
    [`${norm}.running_mean`]: `${ours}.norm.runningMean`,
    [`${norm}.running_var`]: `${ours}.norm.runningVar`,
    // Counts forward passes; nothing depends on it at a fixed momentum.
    [`${norm}.num_batches_tracked`]: null,
  };
}

function transformer(theirs: string, ours: string): NameTable {
  return {
    [`${theirs}.resblocks.*.ln_1.*`]: `${ours}.blocks.*.ln1.*`,
    [`${theirs}.resblocks.*.attn.in_proj_weight`]: `${ours}.blocks.*.attn.qkv.weight`,
    [`${theirs}.resblocks.*.attn.in_proj_bias`]: `${ours}.blocks.*.attn.qkv.bias`,
    [`${theirs}.resblocks.*.attn.out_proj.*`]: `${ours}.blocks.*.attn.out.*`,
    [`${theirs}.resblocks.*.ln_2.*`]: `${ours}.blocks.*.ln2.*`,
    [`${theirs}.resblocks.*.mlp.c_fc.*`]: `${ours}.blocks.*.mlp.fc.*`,
    [`${theirs}.resblocks.*.mlp.c_proj.*`]: `${ours}.blocks.*.mlp.proj.*`,
  };
}

// The text tower has no prefix of its own.
const shared: NameTable = {
  logit_scale: "logitScale",
  positional_embedding: "text.positionalEmbedding",
  "token_embedding.weight": "text.tokenEmbedding",
  ...transformer("transformer", "text"),
  "ln_final.*": "text.lnFinal.*",
  text_projection: "text.projection",
  // Numbers that OpenAI's archives hold beside the weights.
  input_resolution: null,
  context_length: null,
  vocab_size: null,
};

/** By the kind of the image tower: both have a `visual.conv1.weight`. */
export const openAiNames: { readonly vit: NameTable; readonly resnet: NameTable } = {
  vit: {
    ...shared,
    "visual.conv1.weight": "vision.patchEmbedding",
    "visual.class_embedding": "vision.classEmbedding",
    "visual.positional_embedding": "vision.positionalEmbedding",
    "visual.ln_pre.*": "vision.lnPre.*",
    ...transformer("visual.transformer", "vision"),
    "visual.ln_post.*": "vision.lnPost.*",
    "visual.proj": "vision.projection",
  },
  resnet: {
    ...shared,
    // They count convolutions and stages from 1.
    ...convNorm("visual.conv1", "visual.bn1", "vision.stem.0"),
    ...convNorm("visual.conv2", "visual.bn2", "vision.stem.1"),
    ...convNorm("visual.conv3", "visual.bn3", "vision.stem.2"),
    ...stage("visual.layer1", "vision.stages.0"),
    ...stage("visual.layer2", "vision.stages.1"),
    ...stage("visual.layer3", "vision.stages.2"),
    ...stage("visual.layer4", "vision.stages.3"),
    "visual.attnpool.positional_embedding": "vision.attentionPool.positionalEmbedding",
    "visual.attnpool.q_proj.*": "vision.attentionPool.q.*",
    "visual.attnpool.k_proj.*": "vision.attentionPool.k.*",
    "visual.attnpool.v_proj.*": "vision.attentionPool.v.*",
    "visual.attnpool.c_proj.*": "vision.attentionPool.out.*",
  },
};

function stage(theirs: string, ours: string): NameTable {
  return {
    ...convNorm(`${theirs}.*.conv1`, `${theirs}.*.bn1`, `${ours}.*.conv1`),
    ...convNorm(`${theirs}.*.conv2`, `${theirs}.*.bn2`, `${ours}.*.conv2`),
    ...convNorm(`${theirs}.*.conv3`, `${theirs}.*.bn3`, `${ours}.*.conv3`),
    ...convNorm(`${theirs}.*.downsample.0`, `${theirs}.*.downsample.1`, `${ours}.*.downsample`),
  };
}
