import { describe, expect, it } from "vitest";
import { clipConfigs } from "../towers/configs.ts";
import { imageBatchSize, imageBytes } from "./batch-size.ts";

describe("the number of images encoded at once", () => {
  it.each([
    ["ViT-B-32", 16],
    ["ViT-B-16", 16],
    ["ViT-L-14", 15],
    ["ViT-L-14-336", 4],
    ["ViT-B-16-SigLIP-512", 2],
    ["RN50", 16],
    ["RN50x64", 3],
  ] as const)("of %s is %d", (name, size) => expect(imageBatchSize(clipConfigs[name])).toBe(size));

  it("takes 256 MiB at most, and is one where a single image takes more", () => {
    for (const config of Object.values(clipConfigs)) {
      const size = imageBatchSize(config);
      if (size > 1) expect(size * imageBytes(config.vision)).toBeLessThanOrEqual(2 ** 28);
    }
    const { vision } = clipConfigs["ViT-L-14"];
    expect(imageBatchSize({ vision: { ...vision, imageSize: 2016 } })).toBe(1);
  });
});
