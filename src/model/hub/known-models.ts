import { closest, distance } from "fastest-levenshtein";
import type { ClipModelName } from "../towers/configs.ts";

/** Default model: among the freely usable ones, the best on ImageNet for its size and time on a CPU (docs/decisions.md). */
export const defaultModel = "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K";

export const pictograms = "pictograms";

/** Notice for users of the bundled model. */
export const pictogramsNotice = "pictograms, the bundled model, knows drawings, not photos";

export interface KnownModel {
  /** OpenAI's name, such as "ViT-B/32", or the hub repository. */
  readonly name: string;
  /** Key in `clipConfigs`. */
  readonly architecture: ClipModelName;
  readonly licence: string;
  /** Set if the licence requires more than attribution. */
  readonly nonFree?: true;
  /** Zero-shot top-1 accuracy on ImageNet with 80 templates, in percent, reported by its authors or open_clip. */
  readonly imageNet: number;
  /** Repository of the weights on Hugging Face's hub. */
  readonly repository: string;
  /** OpenAI's file of the same weights, used if Python's `clip` package has cached it. */
  readonly archive?: { readonly file: string; readonly sha256: string };
}

/** Name, architecture, repository, ImageNet accuracy, checksum of OpenAI's file. */
const openAi: readonly (readonly [string, ClipModelName, string, number, string])[] = [
  [
    "RN50",
    "RN50-quickgelu",
    "resnet50_clip",
    59.82,
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
  ],
  [
    "RN101",
    "RN101-quickgelu",
    "resnet101_clip",
    62.28,
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
  ],
  [
    "RN50x4",
    "RN50x4-quickgelu",
    "resnet50x4_clip",
    66.27,
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
  ],
  [
    "RN50x16",
    "RN50x16-quickgelu",
    "resnet50x16_clip",
    70.72,
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
  ],
  [
    "RN50x64",
    "RN50x64-quickgelu",
    "resnet50x64_clip",
    73.91,
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
  ],
  [
    "ViT-B/32",
    "ViT-B-32-quickgelu",
    "vit_base_patch32_clip_224",
    63.32,
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
  ],
  [
    "ViT-B/16",
    "ViT-B-16-quickgelu",
    "vit_base_patch16_clip_224",
    68.34,
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
  ],
  [
    "ViT-L/14",
    "ViT-L-14-quickgelu",
    "vit_large_patch14_clip_224",
    75.54,
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
  ],
  [
    "ViT-L/14@336px",
    "ViT-L-14-336-quickgelu",
    "vit_large_patch14_clip_336",
    76.56,
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
  ],
];

/** Repository, architecture, licence, ImageNet accuracy. */
const hub: readonly (readonly [string, ClipModelName, string, number])[] = [
  ["openai/clip-vit-base-patch32", "ViT-B-32-quickgelu", "MIT", 63.32],
  ["openai/clip-vit-base-patch16", "ViT-B-16-quickgelu", "MIT", 68.34],
  ["openai/clip-vit-large-patch14", "ViT-L-14-quickgelu", "MIT", 75.54],
  ["openai/clip-vit-large-patch14-336", "ViT-L-14-336-quickgelu", "MIT", 76.56],
  ["laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32", "MIT", 66.56],
  ["laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", "ViT-B-32", "MIT", 69.17],
  [defaultModel, "ViT-B-32-256", "MIT", 72.81],
  ["laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "ViT-B-16", "MIT", 70.23],
  ["laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", "ViT-B-16", "MIT", 73.49],
  ["laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "ViT-L-14", "MIT", 75.25],
  ["laion/CLIP-ViT-L-14-CommonPool.XL.clip-s13B-b90K", "ViT-L-14", "MIT", 76.37],
  ["laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "ViT-L-14", "MIT", 79.21],
  ["laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "ViT-H-14", "MIT", 77.96],
  ["laion/CLIP-ViT-g-14-laion2B-s12B-b42K", "ViT-g-14", "MIT", 76.63],
  ["laion/CLIP-ViT-g-14-laion2B-s34B-b88K", "ViT-g-14", "MIT", 78.47],
  ["laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "ViT-bigG-14", "MIT", 80.09],
  ["apple/DFN2B-CLIP-ViT-B-16", "ViT-B-16-quickgelu", "Apple", 76.24],
  ["apple/DFN2B-CLIP-ViT-L-14", "ViT-L-14-quickgelu", "Apple", 81.41],
  ["apple/DFN5B-CLIP-ViT-H-14", "ViT-H-14-quickgelu", "Apple", 83.44],
  ["apple/DFN5B-CLIP-ViT-H-14-378", "ViT-H-14-378-quickgelu", "Apple", 84.37],
  ["facebook/metaclip-l14-fullcc2.5b", "ViT-L-14-quickgelu", "CC-BY-NC-4.0", 79.17],
  ["facebook/metaclip-h14-fullcc2.5b", "ViT-H-14-quickgelu", "CC-BY-NC-4.0", 80.51],
  ["google/siglip-base-patch16-224", "ViT-B-16-SigLIP", "Apache-2.0", 76.04],
  ["google/siglip-base-patch16-256", "ViT-B-16-SigLIP-256", "Apache-2.0", 76.53],
  ["google/siglip-base-patch16-384", "ViT-B-16-SigLIP-384", "Apache-2.0", 78.49],
  ["google/siglip-base-patch16-512", "ViT-B-16-SigLIP-512", "Apache-2.0", 79.14],
  ["google/siglip-large-patch16-256", "ViT-L-16-SigLIP-256", "Apache-2.0", 80.45],
  ["google/siglip-large-patch16-384", "ViT-L-16-SigLIP-384", "Apache-2.0", 82.07],
  ["google/siglip-so400m-patch14-224", "ViT-SO400M-14-SigLIP", "Apache-2.0", 82.03],
  ["google/siglip-so400m-patch14-384", "ViT-SO400M-14-SigLIP-384", "Apache-2.0", 83.08],
  ["google/siglip2-base-patch32-256", "ViT-B-32-SigLIP2-256", "Apache-2.0", 74.0],
  ["google/siglip2-base-patch16-224", "ViT-B-16-SigLIP2", "Apache-2.0", 78.2],
  ["google/siglip2-base-patch16-512", "ViT-B-16-SigLIP2-512", "Apache-2.0", 81.2],
  ["google/siglip2-large-patch16-256", "ViT-L-16-SigLIP2-256", "Apache-2.0", 82.5],
  ["google/siglip2-so400m-patch16-384", "ViT-SO400M-16-SigLIP2-384", "Apache-2.0", 84.1],
  ["google/siglip2-giant-opt-patch16-384", "ViT-gopt-16-SigLIP2-384", "Apache-2.0", 85.0],
];

/** Licences that require more than attribution. */
const nonFreeLicences = ["Apple", "CC-BY-NC-4.0"];

/**
 * Published models: OpenAI's, and the most popular others. OpenAI's are fetched from timm's repositories, as in open_clip,
 * because OpenAI's addresses are reported to return 404 (openai/CLIP#516).
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/clip.py` for names and checksums;
 *   {@link https://github.com/mlfoundations/open_clip | open_clip} `src/open_clip/pretrained.py` for repositories,
 *   `docs/openclip_results.csv` for scores, and big_vision's `README_siglip2.md` for SigLIP 2's.
 */
export const knownModels: readonly KnownModel[] = [
  ...openAi.map(([name, architecture, repository, imageNet, sha256]): KnownModel => {
    const archive = { file: `${name.replace(/[/@]/g, "-")}.pt`, sha256 };
    return { name, architecture, licence: "MIT", imageNet, repository: `timm/${repository}.openai`, archive };
  }),
  ...hub.map(([repository, architecture, licence, imageNet]): KnownModel => {
    const nonFree = nonFreeLicences.includes(licence) && { nonFree: true as const };
    return { name: repository, architecture, licence, ...nonFree, imageNet, repository };
  }),
];

/** Whether a name is a model's: a published one, a hub repository, or the bundled model. */
export function isModelName(name: string): boolean {
  return name === pictograms || knownModels.some((model) => model.name === name) || isRepositoryName(name);
}

/** Whether a name has the form `owner/model` of hub repositories. */
export function isRepositoryName(name: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(name) && !name.startsWith(".");
}

/** The closest published name, if it is probably a typo of one. */
export function nearestName(name: string): string | undefined {
  const nearest = closest(name, [pictograms, ...knownModels.map((model) => model.name)]);
  return distance(name.toLowerCase(), nearest.toLowerCase()) <= 3 ? nearest : undefined;
}
