import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { clipConfigs } from "../towers/configs.ts";
import { misread } from "./conversion-warnings.ts";
import { readModel, type StoredModel } from "./model-folder.ts";

const root = await temporaryFolder();
const tiny = await readModel(await saveTinyModel(join(root, "tiny")));
const siglip: StoredModel = {
  ...tiny,
  config: clipConfigs["ViT-B-16-SigLIP"],
  vocabulary: { kind: "json", file: join(root, "tiny", "config.json"), configFile: "", cleaning: "canonicalize" },
};

it("nothing is misread of what the target can say", async () => {
  expect([await misread(tiny, "hf"), await misread(tiny, "onnx"), await misread(siglip, "open_clip")]).toEqual([
    [],
    [],
    [],
  ]);
});

it("open_clip has no way to read a vocabulary of one's own, or to know where another is", async () => {
  expect(await misread(tiny, "open_clip")).toEqual([expect.stringMatching(/would use OpenAI's/)]);
  const { text, ...rest } = siglip.config;
  const own = { ...siglip, config: { ...rest, text: { ...text, layers: 3 } } };
  expect(await misread(own, "open_clip")).toEqual([expect.stringMatching(/text_cfg\.hf_tokenizer_name/)]);
  const named = { ...own, vocabulary: { ...siglip.vocabulary, repository: "some/one" } as StoredModel["vocabulary"] };
  expect(await misread(named, "open_clip")).toEqual([]);
});

it("a vocabulary that the model came without is missed by every reader", async () => {
  const without: StoredModel = { ...tiny, vocabulary: { kind: "merges", file: join(root, "nowhere") } };
  for (const to of ["openai", "hf", "open_clip", "onnx"] as const)
    expect(await misread(without, to)).toContainEqual(
      `the model came without its vocabulary of ${tinyConfig.text.vocabSize} tokens; put it beside the written files`,
    );
});

it("a bare file leaves heads, activation, images and vocabulary to be guessed", async () => {
  const preprocess = { ...tiny.preprocess, mean: [0.5, 0.5, 0.5], resizeMode: "squash" } as const;
  const model = { ...tiny, config: { ...tiny.config, activation: "gelu" as const }, preprocess };
  expect(await misread(model, "openai")).toEqual([
    expect.stringMatching(
      /shapes alone suggest another architecture \(.*heads.*width.*\); read the file with --config/,
    ),
    expect.stringMatching(/always computes quickGelu, but this model was trained with gelu/),
    expect.stringMatching(/does not preprocess images as this model needs: mean 0\.5 0\.5 0\.5, resizeMode squash$/),
    expect.stringMatching(/has its own vocabulary, but this model has another/),
  ]);
});
