import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { namedValues, readFeeds, type RecordedTowers, towerErrors } from "../../src/learning/parity/recorded-towers.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { openSharedTowers } from "./towers.ts";

/** The names of the reference data, as patterns, to ours. */
const sharedNames: readonly [RegExp, string][] = [
  [/^vision\.conv1$/, "vision.patches"],
  [/^vision\.ln_pre$/, "vision.lnPre"],
  [/^vision\.ln_post$/, "vision.lnPost"],
  [/^vision\.layer1\.(\d)$/, "vision.stages.0.$1"],
  [/^vision\.layer2\.(\d)$/, "vision.stages.1.$1"],
  [/^vision\.layer3\.(\d)$/, "vision.stages.2.$1"],
  [/^vision\.layer4\.(\d)$/, "vision.stages.3.$1"],
  [/^vision\.attnpool$/, "imageFeatures"],
  [/^text\.token_embedding$/, "text.tokens"],
  [/^text\.ln_final$/, "text.lnFinal"],
  [/^(\w+)\.block\.(\d)\.ln_1$/, "$1.blocks.$2.ln1"],
  [/^(\w+)\.block\.(\d)$/, "$1.blocks.$2"],
  [/^(image|text)_features_norm$/, "$1Embeds"],
  [/^(image|text)_features$/, "$1Features"],
  [/^vision\.patch_embedding$/, "vision.patches"],
  [/^vision\.post_layernorm$/, "vision.lnPost"],
  [/^vision\.head\.attention$/, "vision.probe"],
  [/^text\.final_layer_norm$/, "text.lnFinal"],
  [/^(image|text)_pooler_output$/, "$1Features"],
  [/^(image|text)_embeds$/, "$1Embeds"],
  [/^logit_bias$/, "logitBias"],
  [/^logit_scale$/, "logitScale"],
  [/^logit_scale_exp$/, "logitScaleExp"],
  [/^logits_per_(image|text)$/, "logitsPer $1"],
  [/^probs_per_(image|text)$/, "probabilitiesPer $1"],
];

function ourName(theirs: string): string {
  const row = sharedNames.find(([pattern]) => pattern.test(theirs));
  const name = row ? theirs.replace(...row) : theirs;
  return name.replace(/Per (\w)/, (_, letter: string) => `Per${letter.toUpperCase()}`);
}

/** The names of the reference data's inputs. */
const sharedInputs = { pixelValues: "pixel_values", inputIds: "input_ids" };

/** The relative error of all that is recorded but the inputs. */
async function errorsOf(towers: RecordedTowers, count: number): Promise<Map<string, number>> {
  const names = [...towers.recorded.keys()].filter((name) => !Object.values(sharedInputs).includes(name));
  expect(names).toHaveLength(count);
  const computed = namedValues(towers);
  const outputs = new Map(names.map((name) => [name, computed.get(ourName(name))]));
  return towerErrors(towers.recorded, outputs, await readFeeds(towers, sharedInputs));
}

function expectAllWithin(tolerance: number, errors: ReadonlyMap<string, number>): void {
  expect([...errors].filter(([, error]) => !(error < tolerance))).toEqual([]);
}

/** The reference models in every container and layout that they come in. */
const sharedWeights = (
  [
    ["vit-tiny", "hf/model.safetensors"],
    ["vit-tiny", "open_clip-customtext/open_clip_model.safetensors"],
    ...(["vit-tiny", "rn-tiny"] as const).flatMap((name) => [
      [name, "model.safetensors"],
      [name, "openai-jit.pt"],
      [name, "state_dict.pt"],
      [name, "state_dict-legacy.pt"],
      [name, "open_clip/open_clip_model.safetensors"],
    ]),
  ] as const
).map(([name, weights]) => [name, weights] as ["vit-tiny" | "rn-tiny", string]);

// Relative L2, float32. Another activation than the recorded one is 5e-3 off.
const tolerance = 1e-5;

describe("the towers", () => {
  // Measured: at most 6.6e-7 and 2.0e-6.
  describe.skipIf(sharedMissing).each(sharedWeights)(
    `as OpenAI's code computes them, %s, from %s${sharedMissing}`,
    (name, weights) => {
      it("give every recorded activation and output", async () => {
        expectAllWithin(tolerance, await errorsOf(await openSharedTowers(name, weights), 20));
      });
    },
  );

  describe.skipIf(sharedMissing).each(["hf", "open_clip"])(
    `as Hugging Face's code computes SigLIP, from the folder %s${sharedMissing}`,
    (layout) => {
      it("give every recorded activation and output", async () => {
        const folder = `${sharedFolder}fixtures/siglip-tiny`;
        const { tensors: recorded } = await openSafetensors(`${folder}/io.safetensors`);
        const { config, parameters } = await readModel(`${folder}/${layout}`);
        expectAllWithin(tolerance, await errorsOf({ config, parameters, recorded }, 23));
      });
    },
  );
});
