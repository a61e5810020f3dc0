import { join } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import sharp from "sharp";
import { expect, it } from "vitest";
import { convertModel, readModel } from "../src/embedding/index.ts";
import { loadClip } from "../src/zero-shot/index.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "./tiny-model.ts";

const root = await temporaryFolder();
Object.assign(env, { allowRemoteModels: false, localModelPath: root, useFSCache: false });

it("transformers.js's pipelines load what convert writes as ONNX, and give our numbers", async () => {
  const model = await saveTinyModel(join(root, "own"));
  await convertModel(await readModel(model), join(root, "exported"), { to: "onnx" });
  // Of the model's own size: the libraries resize differently.
  const { imageSize: side } = tinyConfig.vision;
  const picture = join(root, "picture.png");
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 37) % 256);
  await sharp(pixels, { raw: { width: side, height: side, channels: 3 } }).toFile(picture);

  const labels = ["red apple", "green tree", "blue sea"];
  const options = { dtype: "fp32" } as const;
  const classify = await pipeline("zero-shot-image-classification", "exported", options);
  const theirs = await classify(picture, labels, { hypothesis_template: "a picture of a {}" });
  await using clip = await loadClip(model);
  const ours = await clip.classify(picture, labels, { templates: ["a picture of a {}"] });
  const met = (theirs as { label: string; score: number }[]).map(({ label, score }) => [label, score.toFixed(5)]);
  expect(met).toEqual(ours.map(({ label, probability }) => [label, probability.toFixed(5)]));

  const extract = await pipeline("image-feature-extraction", "exported", options);
  expect((await extract(picture)).dims).toEqual([1, tinyConfig.embedDim]);
}, 30_000);
