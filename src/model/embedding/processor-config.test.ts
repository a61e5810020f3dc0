import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { neededFiles } from "../hub/repository.ts";
import { convertModel } from "../pretrained/convert.ts";
import { findModelFiles } from "../pretrained/model-files.ts";
import { readModel } from "../pretrained/model-folder.ts";

const root = await temporaryFolder();

it("the image processor in processor_config.json counts, before preprocessor_config.json", async () => {
  const folder = join(root, "hf");
  await convertModel(await readModel(await saveTinyModel(join(root, "own"))), folder, { to: "hf" });
  const older = JSON.parse(await readFile(join(folder, "preprocessor_config.json"), "utf8")) as object;
  const processor = join(folder, "processor_config.json");
  const images = { ...older, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5], resample: 2 };
  await writeFile(processor, JSON.stringify({ image_processor: images, processor_class: "CLIPProcessor" }));
  const { preprocess } = await findModelFiles(folder, {});
  expect(preprocess).toMatchObject({ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], resample: "bilinear" });
  // Older ones hold nothing of images.
  await writeFile(processor, JSON.stringify({ processor_class: "CLIPProcessor" }));
  expect((await findModelFiles(folder, {})).preprocess.resample).toBe("bicubic");
  await writeFile(processor, JSON.stringify({ image_processor: { ...images, do_resize: false } }));
  await expect(findModelFiles(folder, {})).rejects.toThrow(
    /processor_config\.json \(image_processor\) .*do_resize: images that are not resized are not supported/s,
  );
});

it("the hub's fetch brings it", () => {
  const file = (path: string) => ({ type: "file" as const, path, size: 1, oid: "" });
  const all = ["model.safetensors", "config.json", "processor_config.json", "README.md"].map(file);
  expect(neededFiles(all).map(({ path }) => path)).toEqual([
    "model.safetensors",
    "config.json",
    "processor_config.json",
  ]);
});
