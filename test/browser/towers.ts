import type { Page } from "playwright-core";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats, readIntegers } from "../../src/model/checkpoints/stored-tensor.ts";
import { relativeError } from "../../src/learning/parity/compare.ts";
import { recordedTensor } from "../../src/learning/parity/recorded-towers.ts";
import type { ReadModelOptions } from "../../src/index.ts";
import type { CompileOptions } from "../../src/graph.ts";

/** A model as the page fetches it, and where it is recorded what another implementation computes with it. */
export interface TowersInPage {
  /** Its address, from the page's own on. */
  readonly model: string;
  /** The recording, a file here. */
  readonly recording: string;
  readonly read?: ReadModelOptions;
  readonly run?: Pick<CompileOptions, "device" | "fallback">;
}

/** Names of inputs and outputs in recordings: ours, and those of the reference. */
const names = {
  pixelValues: ["pixelValues", "pixel_values"],
  inputIds: ["inputIds", "input_ids"],
  imageFeatures: ["imageFeatures", "image_features", "image_pooler_output"],
  textFeatures: ["textFeatures", "text_features", "text_pooler_output"],
  logitsPerImage: ["logitsPerImage", "logits_per_image"],
} as const;

/** The relative errors of what the page computes. */
export async function towerErrorsInPage(
  page: Page,
  { model, recording, read = {}, run = {} }: TowersInPage,
): Promise<Record<string, number>> {
  const { tensors } = await openSafetensors(recording);
  const find = (name: keyof typeof names) =>
    recordedTensor(tensors, names[name].find((alias) => tensors.has(alias)) ?? name);
  const [pixels, ids] = [await readFloats(find("pixelValues")), await readIntegers(find("inputIds"))];
  const outputs = ["imageFeatures", "textFeatures", "logitsPerImage"] as const;
  const computed = await page.evaluate(
    async ({ model, read, run, pixels, ids, outputs }) => {
      const { float32, forward, int32, readModel } = globalThis.clip;
      const stored = await readModel(new URL(model, document.baseURI).href, read);
      const inputs = {
        pixelValues: float32(pixels.data, pixels.shape),
        inputIds: int32(ids.data, ids.shape),
      };
      const results = await forward(stored, inputs, run);
      return outputs.map((name) => Array.from(results.get(name)!.data as Float32Array));
    },
    {
      ...{ model, read, run, outputs },
      pixels: { data: [...pixels.data], shape: pixels.shape },
      ids: { data: [...ids.data], shape: ids.shape },
    },
  );
  const errors: Record<string, number> = {};
  for (const [i, name] of outputs.entries()) {
    const wanted = (await readFloats(find(name))).data;
    errors[name] = relativeError(Float32Array.from(computed[i]!), wanted);
  }
  return errors;
}
