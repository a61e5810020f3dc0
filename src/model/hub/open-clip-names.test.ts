import { expect, it } from "vitest";
import { knownModels } from "./known-models.ts";
import { fromOpenClipName } from "./open-clip-names.ts";
import { resolveModel } from "./resolve.ts";

it.each([
  ["hf-hub:owner/name", "owner/name"],
  ["local-dir:./models/mine", "./models/mine"],
  ["local-dir:/models/mine", "/models/mine"],
  ["ViT-B-32/openai", "ViT-B/32"],
  ["ViT-B-32-quickgelu/openai", "ViT-B/32"],
  ["ViT-L-14-336/openai", "ViT-L/14@336px"],
  ["RN50x16/openai", "RN50x16"],
  ["ViT-B-32-256/datacomp_s34b_b86k", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"],
  ["ViT-L-14/commonpool_xl_clip_s13b_b90k", "laion/CLIP-ViT-L-14-CommonPool.XL.clip-s13B-b90K"],
  ["ViT-g-14/laion2b_s12b_b42k", "laion/CLIP-ViT-g-14-laion2B-s12B-b42K"],
  ["ViT-B-16/dfn2b", "apple/DFN2B-CLIP-ViT-B-16"],
  ["ViT-L-14-quickgelu/dfn2b", "apple/DFN2B-CLIP-ViT-L-14"],
  ["ViT-H-14/dfn5b", "apple/DFN5B-CLIP-ViT-H-14"],
  ["ViT-H-14-378-quickgelu/dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378"],
  ["owner/name", "owner/name"],
  ["ViT-B/32", "ViT-B/32"],
  ["ViT-B-32/none", "ViT-B-32/none"],
  ["constructor", "constructor"],
])("%s is %s", (name, meant) => {
  expect(fromOpenClipName(name)).toBe(meant);
});

it("every name of OpenAI's is one that is known", () => {
  const names = ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336"];
  const known = knownModels.map(({ name }) => name);
  for (const name of names) expect(known).toContain(fromOpenClipName(`${name}/openai`));
});

it("models are resolved by such names", async () => {
  expect(await resolveModel("local-dir:fixtures/towers/vit")).toBe("fixtures/towers/vit");
});
