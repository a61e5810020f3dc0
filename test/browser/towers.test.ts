import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { browserMissing, openPage } from "./page.ts";
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

const beyond = (tolerance: number, errors: Readonly<Record<string, number>>) =>
  Object.entries(errors).filter(([, error]) => !(error <= tolerance));

describe.skipIf(browserMissing)(`the towers in a browser${browserMissing}`, () => {
  it("compute with WebAssembly, on one thread, what PyTorch computes", async () => {
    await using opened = await openPage();
    expect(await opened.page.evaluate(() => crossOriginIsolated)).toBe(false);
    for (const towers of ownTowers) {
      const errors = await towerErrorsInPage(opened.page, { ...towers, run: { device: "cpu" } });
      expect(beyond(1e-5, errors), towers.model).toEqual([]);
    }
  });

  it("compute the same on several threads, where the page is isolated", async () => {
    await using opened = await openPage({ isolated: true });
    expect(await opened.page.evaluate(() => crossOriginIsolated)).toBe(true);
    const errors = await towerErrorsInPage(opened.page, { ...ownTowers[0]!, run: { device: "cpu" } });
    expect(beyond(1e-5, errors)).toEqual([]);
  });

  it.skipIf(sharedMissing)(`read the reference models in every container and layout${sharedMissing}`, async () => {
    await using opened = await openPage();
    for (const towers of sharedTowers) {
      const errors = await towerErrorsInPage(opened.page, { ...towers, run: { device: "cpu" } });
      expect(beyond(1e-5, errors), towers.model).toEqual([]);
    }
  });

  // An adapter in software counts. Nothing may be left to the processor.
  it("compute the same with WebGPU, all of it", { timeout: 300_000 }, async (context) => {
    await using opened = await openPage({ flags: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] });
    const hasAdapter = await opened.page.evaluate(async () => {
      const { gpu } = navigator as Navigator & { gpu?: { requestAdapter(): Promise<unknown> } };
      return Boolean(await gpu?.requestAdapter());
    });
    if (!hasAdapter) {
      console.log("skipped: this Chromium offers no WebGPU adapter");
      context.skip();
    }
    for (const towers of ownTowers) {
      const run = { device: "webgpu", fallback: false } as const;
      const errors = await towerErrorsInPage(opened.page, { ...towers, run });
      expect(beyond(1e-4, errors), towers.model).toEqual([]);
    }
  });
});
