import type { NameTable } from "./patterns.ts";

/** A convolution and its batch norm. */
function convNorm(conv: string, norm: string, ours: string): NameTable {
  return {
    [`${conv}.weight`]: `${ours}.kernel`,
    [`${norm}.weight`]: `${ours}.norm.weight`,
    [`${norm}.bias`]: `${ours}.norm.bias`,
    [`${norm}.running_mean`]: `${ours}.norm.runningMean`,
    [`${norm}.running_var`]: `${ours}.norm.runningVar`,
    // Counts forward passes; unused with a fixed momentum.
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

function text(prefix: string): NameTable {
  return {
    [`${prefix}positional_embedding`]: "text.positionalEmbedding",
    [`${prefix}token_embedding.weight`]: "text.tokenEmbedding",
    ...transformer(`${prefix}transformer`, "text"),
    [`${prefix}ln_final.*`]: "text.lnFinal.*",
    [`${prefix}text_projection`]: "text.projection",
    // A layer, if it has a bias.
    [`${prefix}text_projection.*`]: "text.projection.*",
    logit_scale: "logitScale",
    logit_bias: "logitBias",
    // Sizes that OpenAI's archives store beside the weights.
    input_resolution: null,
    context_length: null,
    vocab_size: null,
  };
}

const vit: NameTable = {
  "visual.conv1.weight": "vision.patchEmbedding",
  "visual.class_embedding": "vision.classEmbedding",
  "visual.positional_embedding": "vision.positionalEmbedding",
  "visual.ln_pre.*": "vision.lnPre.*",
  ...transformer("visual.transformer", "vision"),
  "visual.ln_post.*": "vision.lnPost.*",
  "visual.proj": "vision.projection",
};

const resNet: NameTable = {
  // OpenAI counts convolutions and stages from 1.
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
};

/** SigLIP's image tower, which open_clip takes from timm. */
const timmVit: NameTable = {
  "visual.trunk.patch_embed.proj.*": "vision.patchEmbedding.*",
  "visual.trunk.pos_embed": "vision.positionalEmbedding¹",
  "visual.trunk.blocks.*.norm1.*": "vision.blocks.*.ln1.*",
  "visual.trunk.blocks.*.attn.qkv.*": "vision.blocks.*.attn.qkv.*",
  "visual.trunk.blocks.*.attn.proj.*": "vision.blocks.*.attn.out.*",
  "visual.trunk.blocks.*.norm2.*": "vision.blocks.*.ln2.*",
  "visual.trunk.blocks.*.mlp.fc1.*": "vision.blocks.*.mlp.fc.*",
  "visual.trunk.blocks.*.mlp.fc2.*": "vision.blocks.*.mlp.proj.*",
  "visual.trunk.norm.*": "vision.lnPost.*",
  "visual.trunk.attn_pool.latent": "vision.projection.probe¹¹",
  "visual.trunk.attn_pool.q.*": "vision.projection.attn.qkv.*[0/3]",
  "visual.trunk.attn_pool.kv.*": "vision.projection.attn.qkv.*[1:3/3]",
  "visual.trunk.attn_pool.proj.*": "vision.projection.attn.out.*",
  "visual.trunk.attn_pool.norm.*": "vision.projection.ln.*",
  "visual.trunk.attn_pool.mlp.fc1.*": "vision.projection.mlp.fc.*",
  "visual.trunk.attn_pool.mlp.fc2.*": "vision.projection.mlp.proj.*",
};

/**
 * Tensor names of OpenAI's models and open_clip's class `CLIP`, by kind of image tower: both kinds have a
 * `visual.conv1.weight`. The text tower has no prefix.
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/model.py`.
 */
export const openAiNames = { vit: { ...vit, ...text("") }, resNet: { ...resNet, ...text("") } };

/**
 * Tensor names of open_clip's class `CustomTextCLIP`, whose image tower may be timm's.
 *
 * @see {@link https://github.com/mlfoundations/open_clip | open_clip} `src/open_clip/model.py`.
 */
export const customTextNames = {
  vit: { ...vit, ...text("text.") },
  resNet: { ...resNet, ...text("text.") },
  timmVit: { ...timmVit, ...text("text.") },
};

function stage(theirs: string, ours: string): NameTable {
  return {
    ...convNorm(`${theirs}.*.conv1`, `${theirs}.*.bn1`, `${ours}.*.conv1`),
    ...convNorm(`${theirs}.*.conv2`, `${theirs}.*.bn2`, `${ours}.*.conv2`),
    ...convNorm(`${theirs}.*.conv3`, `${theirs}.*.bn3`, `${ours}.*.conv3`),
    ...convNorm(`${theirs}.*.downsample.0`, `${theirs}.*.downsample.1`, `${ours}.*.downsample`),
  };
}
