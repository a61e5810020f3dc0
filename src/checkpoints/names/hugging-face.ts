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

/**
 * The names of Hugging Face's `CLIPModel`, which has ViTs only.
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
  "text_model.embeddings.token_embedding.weight": "text.tokenEmbedding",
  "text_model.embeddings.position_embedding.weight": "text.positionalEmbedding",
  ...encoder("text_model", "text"),
  "text_model.final_layer_norm.*": "text.lnFinal.*",
  "text_projection.weight": "text.projectionᵀ",
  logit_scale: "logitScale",
  // Older files count the positions.
  "vision_model.embeddings.position_ids": null,
  "text_model.embeddings.position_ids": null,
};
