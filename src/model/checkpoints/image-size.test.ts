import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { relativeError } from "../../learning/parity/compare.ts";
import { resampleGrid } from "../../inputs/image/resample.ts";
import { type ClipConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import { initializeParameters } from "../nn/parameters.ts";
import { clipParameters } from "../towers/parameters.ts";
import { withImageSize } from "./image-size.ts";
import { loadParameters, readParameter } from "./load.ts";
import { openSafetensors } from "./safetensors.ts";
import { saveParameters } from "./save.ts";
import { readFloats } from "./stored-tensor.ts";

const folder = await temporaryFolder();
const text = { contextLength: 8, vocabSize: 20, width: 64, layers: 1, heads: 1 };
const vit: ClipConfig = {
  ...{ embedDim: 16, activation: "gelu" },
  vision: { kind: "vit", imageSize: 28, patchSize: 4, width: 64, layers: 1, heads: 1 },
  text,
};

async function stored(config: ClipConfig) {
  const path = join(folder, `${config.vision.kind}.safetensors`);
  await saveParameters(path, initializeParameters(clipParameters(config), 5));
  return loadParameters(path, clipParameters(config));
}

describe("a table of positions", () => {
  // Recorded by scripts/fixtures-towers.py. Measured: at most 1e-7; Keys' cubic with another constant is 2e-2 off.
  it.each([3, 5, 10, 12])("is resized as PyTorch resizes images, from 7 to %i", async (side) => {
    const { tensors } = await openSafetensors("fixtures/towers/positions.safetensors");
    const table = await readFloats(tensors.get("from7")!);
    const wanted = await readFloats(tensors.get(`to${side}`)!);
    expect(relativeError(resampleGrid(table.data, 5, 7, side, "bicubic"), wanted.data)).toBeLessThan(1e-6);
  });

  it("keeps the class token's place, and everything at its own size", async () => {
    const parameters = await stored(vit);
    const larger = await withImageSize(vit, parameters, 40);
    expect(larger.config.vision.imageSize).toBe(40);
    const [before, after] = await Promise.all(
      [parameters, larger.parameters].map((all) => readParameter(all.get("vision.positionalEmbedding")!)),
    );
    expect(after!.shape).toEqual([101, 64]);
    expect(after!.data.subarray(0, 64)).toEqual(before!.data.subarray(0, 64));
    expect(await withImageSize(vit, parameters, 28)).toEqual({ config: vit, parameters });
  });

  it("is refused where a size does not divide into patches, and to towers without such a table", async () => {
    await expect(withImageSize(vit, await stored(vit), 30)).rejects.toThrow(/a multiple of its patch size, 4 pixels/);
    await expect(withImageSize(clipConfigs.RN50, new Map(), 288)).rejects.toThrow(
      /needs images of 224 pixels; only ViTs/,
    );
  });
});
