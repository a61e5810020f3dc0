/** open_clip's prefixes for the location of a model. */
const schemes = /^(hf-hub|local-dir):/;

/**
 * Hub repositories by open_clip's architecture and pretraining tag. From `hf_hub` in `_PRETRAINED` of open_clip_torch 3.3.0's
 * `pretrained.py`, without the trailing slash.
 */
const repositories: Readonly<Record<string, string>> = {
  "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
  "ViT-B-32/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
  "ViT-B-32-256/datacomp_s34b_b86k": "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
  "ViT-B-16/laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
  "ViT-B-16/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
  "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
  "ViT-L-14/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
  "ViT-L-14/commonpool_xl_clip_s13b_b90k": "laion/CLIP-ViT-L-14-CommonPool.XL.clip-s13B-b90K",
  "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
  "ViT-g-14/laion2b_s12b_b42k": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
  "ViT-g-14/laion2b_s34b_b88k": "laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
  "ViT-bigG-14/laion2b_s39b_b160k": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
  "ViT-B-16/dfn2b": "apple/DFN2B-CLIP-ViT-B-16",
  "ViT-B-16-quickgelu/dfn2b": "apple/DFN2B-CLIP-ViT-B-16",
  "ViT-L-14/dfn2b": "apple/DFN2B-CLIP-ViT-L-14",
  "ViT-L-14-quickgelu/dfn2b": "apple/DFN2B-CLIP-ViT-L-14",
  "ViT-H-14/dfn5b": "apple/DFN5B-CLIP-ViT-H-14",
  "ViT-H-14-quickgelu/dfn5b": "apple/DFN5B-CLIP-ViT-H-14",
  "ViT-H-14-378/dfn5b": "apple/DFN5B-CLIP-ViT-H-14-378",
  "ViT-H-14-378-quickgelu/dfn5b": "apple/DFN5B-CLIP-ViT-H-14-378",
};

/** open_clip's names of OpenAI's models, with dashes. */
const openAi = /^(RN50|RN101|RN50x4|RN50x16|RN50x64|ViT-(?:B-32|B-16|L-14|L-14-336))(?:-quickgelu)?\/openai$/;

/**
 * Translates open_clip's notation for a model (`hf-hub:owner/name`, `local-dir:folder`, or architecture and pretraining tag, such
 * as `ViT-B-32/laion2b_s34b_b79k`) to ours. Other names are returned unchanged.
 */
export function fromOpenClipName(name: string): string {
  const bare = name.replace(schemes, "");
  if (bare !== name) return bare;
  if (Object.hasOwn(repositories, name)) return repositories[name]!;
  const [, architecture] = openAi.exec(name) ?? [];
  if (architecture === undefined) return name;
  return architecture === "ViT-L-14-336" ? "ViT-L/14@336px" : architecture.replace(/-(\d+)$/, "/$1");
}
