import { describe, expect, it } from "vitest";
import { storedParameters } from "../../src/model/checkpoints/load.ts";
import { clipParameters } from "../../src/model/towers/parameters.ts";
import { openTowers, readFeeds, type RecordedTowers, towerErrors } from "../../src/learning/parity/recorded-towers.ts";
import { input } from "../../src/engine/graph/tensor.ts";
import { imageTower } from "../../src/model/towers/image-tower.ts";
import { sharedMissing } from "../read-fixture.ts";
import { openSharedTowers, ownTowers } from "./towers.ts";

/** How far the vector before the projection is from what is recorded under a name. */
async function pooledError(towers: RecordedTowers, name: string, names?: Parameters<typeof readFeeds>[1]) {
  const { config, parameters, recorded } = towers;
  const { imageSize } = config.vision;
  const pixelValues = input("pixelValues", ["images", 3, imageSize, imageSize]);
  const pooled = imageTower(storedParameters(clipParameters(config), parameters).vision, config, pixelValues).pooled;
  const feeds = await readFeeds(towers, names);
  const errors = await towerErrors(recorded, new Map([[name, pooled]]), { pixelValues: feeds["pixelValues"]! });
  return errors.get(name)!;
}

describe("pooled features", () => {
  // Relative L2, measured: at most 1e-6. Without the last norm, or behind the projection, not even the shape is the same or 1 is met.
  const tolerance = 1e-5;

  it.each([
    ["vit", "vision.lnPost"],
    ["resnet", "imageFeatures"],
    ["siglip", "imageFeatures"],
  ] as const)("gives what is recorded of the small tower %s as %s", async (kind, name) => {
    expect(await pooledError(await openTowers(ownTowers(kind)), name)).toBeLessThan(tolerance);
  });

  const inputs = { pixelValues: "pixel_values", inputIds: "input_ids" };
  it.skipIf(sharedMissing).each([
    ["vit-tiny", "vision.ln_post"],
    ["rn-tiny", "vision.attnpool"],
  ] as const)(`gives what OpenAI's code recorded of %s as %s${sharedMissing}`, async (name, recorded) => {
    expect(await pooledError(await openSharedTowers(name), recorded, inputs)).toBeLessThan(tolerance);
  });
});
