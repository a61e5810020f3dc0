import { closest, distance } from "fastest-levenshtein";
import type { ClipModelName } from "../models/index.ts";

/** A published model. */
export interface KnownModel {
  /** What people call it. */
  readonly name: string;
  /** Of `clipConfigs`. */
  readonly architecture: ClipModelName;
  /** What its weights may be used under; `nonFree` ones ask for more than naming their authors. */
  readonly licence: string;
  readonly nonFree?: true;
  /** Zero-shot top-1 on ImageNet's 1,000 classes with 80 templates, in percent, as its makers or open_clip measured it. */
  readonly imageNet: number;
  /** Where the weights are: a repository of Hugging Face's hub, or a file by its address. */
  readonly source:
    { readonly repository: string } | { readonly url: string; readonly sha256: string; readonly megabytes: number };
}

/** Name, architecture, file, sha256, megabytes, ImageNet. */
const openAi: readonly (readonly [string, ClipModelName, string, string, number, number])[] = [
  ["RN50", "RN50-quickgelu", "RN50.pt", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", 244, 59.82],
  [
    "RN101",
    "RN101-quickgelu",
    "RN101.pt",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    278,
    62.28,
  ],
  [
    "RN50x4",
    "RN50x4-quickgelu",
    "RN50x4.pt",
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
    402,
    66.27,
  ],
  [
    "RN50x16",
    "RN50x16-quickgelu",
    "RN50x16.pt",
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
    631,
    70.72,
  ],
  [
    "RN50x64",
    "RN50x64-quickgelu",
    "RN50x64.pt",
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
    1291,
    73.91,
  ],
  [
    "ViT-B/32",
    "ViT-B-32-quickgelu",
    "ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    338,
    63.32,
  ],
  [
    "ViT-B/16",
    "ViT-B-16-quickgelu",
    "ViT-B-16.pt",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    335,
    68.34,
  ],
  [
    "ViT-L/14",
    "ViT-L-14-quickgelu",
    "ViT-L-14.pt",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    890,
    75.54,
  ],
  [
    "ViT-L/14@336px",
    "ViT-L-14-336-quickgelu",
    "ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    891,
    76.56,
  ],
];

/** Repository, architecture, licence, ImageNet. */
const hub: readonly (readonly [string, ClipModelName, string, number])[] = [
  ["openai/clip-vit-base-patch32", "ViT-B-32-quickgelu", "MIT", 63.32],
  ["openai/clip-vit-base-patch16", "ViT-B-16-quickgelu", "MIT", 68.34],
  ["openai/clip-vit-large-patch14", "ViT-L-14-quickgelu", "MIT", 75.54],
  ["openai/clip-vit-large-patch14-336", "ViT-L-14-336-quickgelu", "MIT", 76.56],
  ["laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32", "MIT", 66.56],
  ["laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", "ViT-B-32", "MIT", 69.17],
  ["laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "ViT-B-16", "MIT", 70.23],
  ["laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", "ViT-B-16", "MIT", 73.49],
  ["laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "ViT-L-14", "MIT", 79.21],
  ["laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "ViT-H-14", "MIT", 77.96],
  ["laion/CLIP-ViT-g-14-laion2B-s34B-b88K", "ViT-g-14", "MIT", 78.47],
  ["laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "ViT-bigG-14", "MIT", 80.09],
  ["apple/DFN2B-CLIP-ViT-B-16", "ViT-B-16-quickgelu", "Apple", 76.24],
  ["apple/DFN2B-CLIP-ViT-L-14", "ViT-L-14-quickgelu", "Apple", 81.41],
  ["apple/DFN5B-CLIP-ViT-H-14-378", "ViT-H-14-378-quickgelu", "Apple", 84.37],
  ["google/siglip-base-patch16-224", "ViT-B-16-SigLIP", "Apache-2.0", 76.04],
  ["google/siglip-so400m-patch14-384", "ViT-SO400M-14-SigLIP-384", "Apache-2.0", 83.08],
  ["google/siglip2-base-patch32-256", "ViT-B-32-SigLIP2-256", "Apache-2.0", 74.0],
  ["google/siglip2-base-patch16-224", "ViT-B-16-SigLIP2", "Apache-2.0", 78.2],
  ["google/siglip2-base-patch16-512", "ViT-B-16-SigLIP2-512", "Apache-2.0", 81.2],
  ["google/siglip2-large-patch16-256", "ViT-L-16-SigLIP2-256", "Apache-2.0", 82.5],
  ["google/siglip2-so400m-patch16-384", "ViT-SO400M-16-SigLIP2-384", "Apache-2.0", 84.1],
  ["google/siglip2-giant-opt-patch16-384", "ViT-gopt-16-SigLIP2-384", "Apache-2.0", 85.0],
];

/**
 * Published models: OpenAI's own, and those of others that are asked for most.
 *
 * @see {@link https://github.com/openai/CLIP | openai/CLIP} `clip/clip.py` for addresses and checksums;
 *   {@link https://github.com/mlfoundations/open_clip | open_clip} `docs/openclip_results.csv` for scores, and big_vision's
 *   `README_siglip2.md` for those of SigLIP 2.
 */
export const knownModels: readonly KnownModel[] = [
  ...openAi.map(([name, architecture, file, sha256, megabytes, imageNet]): KnownModel => {
    // The address holds the checksum.
    const url = `https://openaipublic.azureedge.net/clip/models/${sha256}/${file}`;
    return { name, architecture, licence: "MIT", imageNet, source: { url, sha256, megabytes } };
  }),
  ...hub.map(([repository, architecture, licence, imageNet]): KnownModel => {
    const nonFree = licence === "Apple" && { nonFree: true as const };
    return { name: repository, architecture, licence, ...nonFree, imageNet, source: { repository } };
  }),
];

/** Whether a name is that of a published model, or of a repository of Hugging Face's hub. */
export function isPublishedName(name: string): boolean {
  return knownModels.some((model) => model.name === name) || isRepositoryName(name);
}

/** Whether a name is made as those on Hugging Face's hub are: `owner/model`. */
export function isRepositoryName(name: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(name) && !name.startsWith(".");
}

/** The published name that was probably meant, if there is one. */
export function nearestName(name: string): string | undefined {
  const nearest = closest(
    name,
    knownModels.map((model) => model.name),
  );
  return distance(name.toLowerCase(), nearest.toLowerCase()) <= 3 ? nearest : undefined;
}
