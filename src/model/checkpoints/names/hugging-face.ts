import type { NameTable } from "./patterns.ts";

function encoder(theirs: string, ours: string): NameTable {
  const layer = `${theirs}.encoder.layers.*`;
  return {
    [`${layer}.layer_norm1.*`]: `${ours}.blocks.*.ln1.*`,
    [`${layer}.self_attn.q_proj.*`]: `${ours}.blocks.*.attn.qkv.*[0/3]`,
    [`${layer}.self_attn.k_proj.*`]: `${ours}.blocks.*.attn.qkv.*[1/3]`,
    [`${layer}.self_attn.v_proj.*`]: `${ours}.blocks.*.attn.qkv.*[2/3]`,
    [`${layer}.self_attn.out_proj.*`]: `${ours}.blocks.*.attn.out.*`,
    [`${layer}.layer_norm2.*`]: `${ours}.blocks.*.ln2.*`,
    [`${layer}.mlp.fc1.*`]: `${ours}.blocks.*.mlp.fc.*`,
    [`${layer}.mlp.fc2.*`]: `${ours}.blocks.*.mlp.proj.*`,
  };
}

const text: NameTable = {
  "text_model.embeddings.token_embedding.weight": "text.tokenEmbedding",
  "text_model.embeddings.position_embedding.weight": "text.positionalEmbedding",
  ...encoder("text_model", "text"),
  "text_model.final_layer_norm.*": "text.lnFinal.*",
};

const counters: NameTable = {
  // Older files store the indices of positions.
  "vision_model.embeddings.position_ids": null,
  "text_model.embeddings.position_ids": null,
};

/**
 * Tensor names of Hugging Face's `CLIPModel`, which supports only ViTs.
 *
 * @see {@link https://github.com/huggingface/transformers | transformers} `src/transformers/models/clip/modeling_clip.py`.
 */
export const huggingFaceNames: NameTable = {
  "vision_model.embeddings.patch_embedding.weight": "vision.patchEmbedding",
  "vision_model.embeddings.class_embedding": "vision.classEmbedding",
  "vision_model.embeddings.position_embedding.weight": "vision.positionalEmbedding",
  "vision_model.pre_layrnorm.*": "vision.lnPre.*", // their spelling
  ...encoder("vision_model", "vision"),
  "vision_model.post_layernorm.*": "vision.lnPost.*",
  "visual_projection.weight": "vision.projectionᵀ",
  ...text,
  "text_projection.weight": "text.projectionᵀ",
  logit_scale: "logitScale",
  ...counters,
};

/**
 * Tensor names of Hugging Face's `SiglipModel`.
 *
 * @see {@link https://github.com/huggingface/transformers | transformers} `src/transformers/models/siglip/modeling_siglip.py`.
 */
export const siglipNames: NameTable = {
  "vision_model.embeddings.patch_embedding.*": "vision.patchEmbedding.*",
  "vision_model.embeddings.position_embedding.weight": "vision.positionalEmbedding",
  ...encoder("vision_model", "vision"),
  "vision_model.post_layernorm.*": "vision.lnPost.*",
  "vision_model.head.probe": "vision.projection.probe¹¹",
  "vision_model.head.attention.in_proj_weight": "vision.projection.attn.qkv.weight",
  "vision_model.head.attention.in_proj_bias": "vision.projection.attn.qkv.bias",
  "vision_model.head.attention.out_proj.*": "vision.projection.attn.out.*",
  "vision_model.head.layernorm.*": "vision.projection.ln.*",
  "vision_model.head.mlp.fc1.*": "vision.projection.mlp.fc.*",
  "vision_model.head.mlp.fc2.*": "vision.projection.mlp.proj.*",
  ...text,
  "text_model.head.*": "text.projection.*",
  logit_scale: "logitScale¹",
  logit_bias: "logitBias¹",
  ...counters,
};
