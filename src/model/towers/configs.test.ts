import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ClipConfig } from "./config.ts";
import { parameterSpecs, countParameters } from "../nn/parameters.ts";
import { clipParameters } from "./parameters.ts";
import { type ClipModelName, clipConfigs } from "./configs.ts";

// Millions of numbers in the image tower and in the text tower, logitScale in neither: open_clip, docs/model_profile.csv.
const profile: Partial<Record<ClipModelName, readonly [image: number, text: number]>> = {
  RN50: [38.32, 63.69],
  "RN50-quickgelu": [38.32, 63.69],
  RN101: [56.26, 63.43],
  "RN101-quickgelu": [56.26, 63.43],
  RN50x4: [87.14, 91.16],
  RN50x16: [167.33, 123.65],
  RN50x64: [420.38, 202.88],
  "ViT-B-32": [87.85, 63.43],
  "ViT-B-32-quickgelu": [87.85, 63.43],
  "ViT-B-32-256": [87.86, 63.43],
  "ViT-B-16": [86.19, 63.43],
  "ViT-B-16-quickgelu": [86.19, 63.43],
  "ViT-L-14": [303.97, 123.65],
  "ViT-L-14-quickgelu": [303.97, 123.65],
  "ViT-L-14-280": [304.11, 123.65],
  "ViT-L-14-336": [304.29, 123.65],
  "ViT-L-16": [304.09, 123.65],
  "ViT-L-16-320": [304.3, 123.65],
  "ViT-H-14": [632.08, 354.03],
  "ViT-H-14-quickgelu": [632.08, 354.03],
  "ViT-S-32-alt": [22.59, 20.63],
  "ViT-S-32": [22.64, 40.44],
  "ViT-S-16-alt": [21.76, 20.63],
  "ViT-S-16": [21.81, 40.44],
  "ViT-M-32-alt": [39.63, 40.44],
  "ViT-M-32": [39.69, 63.43],
  "ViT-M-16": [38.59, 63.43],
  "ViT-B-32-plus-256": [119.13, 91.16],
  "ViT-B-16-plus": [117.19, 91.16],
  "ViT-B-16-plus-240": [117.21, 91.16],
  "ViT-H-16": [632.23, 354.03],
  "ViT-g-14": [1012.65, 354.03],
  "ViT-bigG-14": [1844.91, 694.66],
  "ViT-B-16-SigLIP": [92.88, 110.27],
  "ViT-B-16-SigLIP-256": [92.93, 110.27],
  "ViT-B-16-SigLIP-i18n-256": [92.93, 277.7],
  "ViT-B-16-SigLIP-384": [93.18, 110.27],
  "ViT-B-16-SigLIP-512": [93.52, 110.27],
  "ViT-L-16-SigLIP-256": [315.96, 336.19],
  "ViT-L-16-SigLIP-384": [316.28, 336.19],
  "ViT-SO400M-14-SigLIP": [427.68, 449.68],
  "ViT-SO400M-14-SigLIP-384": [428.23, 449.73],
};

function countTower(name: ClipModelName, tower: "vision" | "text"): number {
  let count = 0;
  for (const [path, { shape, trainable }] of parameterSpecs(clipParameters(clipConfigs[name]))) {
    if (trainable && path.startsWith(`${tower}.`)) count += shape.reduce((total, size) => total * size, 1);
  }
  return count;
}

describe("clipConfigs", () => {
  // OpenAI's notebook and, for the other eight, the same line of it run by others: "Model parameters: …".
  it.each<[ClipModelName, number]>([
    ["RN50-quickgelu", 102_007_137],
    ["RN101-quickgelu", 119_688_033],
    ["RN50x4-quickgelu", 178_300_601],
    ["RN50x16-quickgelu", 290_979_217],
    ["RN50x64-quickgelu", 623_258_305],
    ["ViT-B-32-quickgelu", 151_277_313],
    ["ViT-B-16-quickgelu", 149_620_737],
    ["ViT-L-14-quickgelu", 427_616_513],
    ["ViT-L-14-336-quickgelu", 427_944_193],
  ])("gives OpenAI's %s its %i parameters", (name, count) => {
    expect(countParameters(clipParameters(clipConfigs[name]))).toBe(count);
  });

  it.each(Object.entries(profile))(
    "gives %s the millions of parameters that open_clip's profile lists",
    (name, both) => {
      const met = (["vision", "text"] as const).map((tower) => countTower(name as ClipModelName, tower) / 1e6);
      expect(met.map((count) => count.toFixed(2))).toEqual(both.map((count) => count.toFixed(2)));
    },
  );

  it("differs between SigLIP 2 and SigLIP in the vocabulary alone", () => {
    const gemma = 256_000;
    const { vision, text, ...rest } = clipConfigs["ViT-B-16-SigLIP2"];
    expect(text.vocabSize).toBe(gemma);
    expect({ ...rest, vision, text: { ...text, vocabSize: 32_000 } }).toEqual(clipConfigs["ViT-B-16-SigLIP"]);
  });

  it("differs between a name and its -quickgelu in nothing but the activation", () => {
    const quick = (Object.keys(clipConfigs) as ClipModelName[]).filter((name) => name.endsWith("-quickgelu"));
    expect(quick).toHaveLength(11);
    for (const name of quick) {
      expect(clipConfigs[name].activation).toBe("quickGelu");
      const plain = clipConfigs[name.replace("-quickgelu", "") as ClipModelName];
      expect({ ...clipConfigs[name], activation: "gelu" }).toEqual(plain);
    }
  });

  it("has that of pictograms", () => {
    const config = JSON.parse(readFileSync("assets/pictogram-clip/config.json", "utf8")) as ClipConfig;
    const { embedDim, activation, vision, text } = config;
    expect({ embedDim, activation, vision, text }).toEqual(clipConfigs.pictogram);
  });

  it("has no row without a known number of parameters", () => {
    // Not in the profile: ViT-H-14-378, the same towers at another size, and SigLIP 2, SigLIP's with a larger vocabulary.
    const known = (name: string) => name in profile || name.replace("-quickgelu", "") in profile;
    const unknown = ["ViT-H-14-378", "ViT-H-14-378-quickgelu", "pictogram"];
    const names = Object.keys(clipConfigs).filter((name) => !known(name) && !name.includes("-SigLIP2"));
    expect(names).toEqual(unknown);
  });
});
