import { join } from "node:path";
import { env, ModelRegistry, pipeline } from "@huggingface/transformers";
import sharp from "sharp";
import { expect, it } from "vitest";
import { convertModel } from "../src/model/pretrained/convert.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { loadClip } from "../src/model/zero-shot/clip.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "./tiny-model.ts";

const root = await temporaryFolder();
Object.assign(env, { allowRemoteModels: false, localModelPath: root, useFSCache: false });

const title = "transformers.js's pipelines load what convert writes as ONNX with weights %s, and give our numbers";
it.each([
  ["inside", undefined, ["onnx/model.onnx"]],
  // Only the config tells it to fetch the second file where it does not read from a disk.
  ["beside", 1000, ["onnx/model.onnx", "onnx/model.onnx_data"]],
] as const)(
  title,
  async (where, maxInlineBytes, files) => {
    const name = `exported-${where}`;
    const model = await saveTinyModel(join(root, `own-${where}`));
    await convertModel(await readModel(model), join(root, name), { to: "onnx", maxInlineBytes });
    const wanted = await ModelRegistry.get_model_files(name, { dtype: "fp32" });
    expect(wanted.filter((file) => file.startsWith("onnx/"))).toEqual(files);
    // Of the model's own size: the libraries resize differently.
    const { imageSize: side } = tinyConfig.vision;
    const image = join(root, "image.png");
    const pixels = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 37) % 256);
    await sharp(pixels, { raw: { width: side, height: side, channels: 3 } }).toFile(image);

    const labels = ["red apple", "green tree", "blue sea"];
    const options = { dtype: "fp32" } as const;
    const classify = await pipeline("zero-shot-image-classification", name, options);
    const theirs = await classify(image, labels, { hypothesis_template: "a picture of a {}" });
    await using clip = await loadClip(model);
    const ours = await clip.classify(image, labels, { templates: ["a picture of a {}"] });
    const met = (theirs as { label: string; score: number }[]).map(({ label, score }) => [label, score.toFixed(5)]);
    expect(met).toEqual(ours.map(({ label, probability }) => [label, probability.toFixed(5)]));

    const extract = await pipeline("image-feature-extraction", name, options);
    expect((await extract(image)).dims).toEqual([1, tinyConfig.embedDim]);
  },
  30_000,
);
