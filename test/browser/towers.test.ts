import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeSafetensors } from "../../src/model/checkpoints/write-safetensors.ts";
import { Random } from "../../src/core/random.ts";
import { float32, int32 } from "../../src/core/tensor-data.ts";
import { forward } from "../../src/model/embedding/forward.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { clipPreprocess } from "../../src/inputs/image/preprocess-config.ts";
import type { VitConfig } from "../../src/model/towers/config.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { browserMissing, type OpenPage, openPage } from "./page.ts";
import { type TowersInPage, towerErrorsInPage } from "./towers.ts";

const own = (name: string): TowersInPage => ({
  model: `repository/fixtures/towers/${name}`,
  recording: fileURLToPath(new URL(`../../fixtures/towers/${name}/io.safetensors`, import.meta.url)),
});
const shared = (name: string, file: string, read = {}): TowersInPage => ({
  model: `shared/fixtures/${name}/${file}`,
  recording: `${sharedFolder}fixtures/${name}/io.safetensors`,
  read,
});

const ownTowers = ["vit", "resnet", "siglip"].map(own);
/** Every container and layout that the reference models come in. */
const sharedTowers = [
  shared("vit-tiny", "model.safetensors", { activation: "quickGelu" }),
  shared("vit-tiny", "openai-jit.pt"),
  shared("vit-tiny", "state_dict.pt", { activation: "quickGelu" }),
  shared("vit-tiny", "state_dict-legacy.pt", { activation: "quickGelu" }),
  shared("vit-tiny", "hf"),
  shared("vit-tiny", "open_clip"),
  shared("vit-tiny", "open_clip-customtext"),
  shared("rn-tiny", "model.safetensors", { activation: "quickGelu" }),
  shared("rn-tiny", "openai-jit.pt"),
  shared("rn-tiny", "state_dict-legacy.pt", { activation: "quickGelu" }),
  shared("rn-tiny", "open_clip"),
  shared("siglip-tiny", "hf"),
  shared("siglip-tiny", "open_clip"),
];

/** A model whose images have pixels left over behind the last patch, as SigLIP's of 384 pixels in patches of 14, and what Node computes. */
async function saveUnevenModel(folder: string): Promise<TowersInPage> {
  const vision = { ...tinyConfig.vision, pool: "probe", imageSize: 41, patchSize: 8 } as VitConfig;
  const config = { ...tinyConfig, vision, embedDim: vision.width };
  const preprocess = { ...clipPreprocess, imageSize: 41 };
  const model = await readModel(await saveTinyModel(join(folder, "uneven"), { config, preprocess }));
  const random = new Random(1);
  const pixelValues = float32(
    Float32Array.from({ length: 2 * 3 * 41 ** 2 }, () => random.normal()),
    [2, 3, 41, 41],
  );
  const { vocabSize } = config.text;
  const inputIds = int32([vocabSize - 2, 7, vocabSize - 1], [1, 3]);
  const recorded = await forward(model, { pixelValues, inputIds }, { device: "cpu" });
  const recording = join(folder, "uneven.safetensors");
  await writeSafetensors(recording, new Map([...recorded, ["pixelValues", pixelValues], ["inputIds", inputIds]]));
  return { model: "made/uneven", recording };
}

/** Counts the threads that a page starts from now on: the session's, and those that ONNX Runtime adds to it. */
function countThreads({ page }: OpenPage): () => number {
  let count = 0;
  page.on("worker", () => void count++);
  return () => count;
}

/** Holds the page's outputs of models against what is recorded, and says how close they came. */
async function expectWithin(
  tolerance: number,
  { page }: OpenPage,
  models: readonly TowersInPage[],
  run: TowersInPage["run"] & object,
): Promise<void> {
  let largest = 0;
  for (const towers of models) {
    const errors = await towerErrorsInPage(page, { ...towers, run });
    const beyond = Object.entries(errors).filter(([, error]) => !(error <= tolerance));
    expect(beyond, towers.model).toEqual([]);
    largest = Math.max(largest, ...Object.values(errors));
  }
  console.log(`${models.length} models in a page, ${JSON.stringify(run)}: at most ${largest.toExponential(1)} off`);
}

describe.skipIf(browserMissing)(`the towers in a browser${browserMissing}`, () => {
  it("compute with WebAssembly, on one thread, what PyTorch computes", async () => {
    await using opened = await openPage();
    expect(await opened.page.evaluate(() => crossOriginIsolated)).toBe(false);
    const threads = countThreads(opened);
    await expectWithin(1e-5, opened, ownTowers.slice(0, 1), { device: "cpu" });
    expect(threads()).toBe(1);
    await expectWithin(1e-5, opened, ownTowers.slice(1), { device: "cpu" });
  });

  it("compute the same on several threads, where the page is isolated", async () => {
    await using opened = await openPage({ isolated: true });
    expect(await opened.page.evaluate(() => crossOriginIsolated)).toBe(true);
    const cores = await opened.page.evaluate(() => navigator.hardwareConcurrency);
    const threads = countThreads(opened);
    await expectWithin(1e-5, opened, ownTowers.slice(0, 1), { device: "cpu" });
    expect(threads() > 1).toBe(cores > 1);
  });

  it.skipIf(sharedMissing)(`read the reference models in every container and layout${sharedMissing}`, async () => {
    await using opened = await openPage();
    await expectWithin(1e-5, opened, sharedTowers, { device: "cpu" });
  });

  // An adapter in software counts. Nothing may be left to the processor.
  it("compute the same with WebGPU, all of it", async (context) => {
    const made = await temporaryFolder();
    const flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
    await using opened = await openPage({ made, flags });
    const hasAdapter = await opened.page.evaluate(async () => {
      const { gpu } = navigator as Navigator & { gpu?: { requestAdapter(): Promise<unknown> } };
      return Boolean(await gpu?.requestAdapter());
    });
    if (!hasAdapter) {
      console.log("skipped: this Chromium offers no WebGPU adapter");
      context.skip();
    }
    const towers = [...ownTowers, await saveUnevenModel(made)];
    await expectWithin(1e-4, opened, towers, { device: "webgpu", fallback: false });
  });
});
