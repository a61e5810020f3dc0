import { describe, expect, it } from "vitest";
import { parseStrict } from "../../core/parse.ts";
import { clipConfigs } from "../../model/towers/configs.ts";
import { trainConfigSchema } from "../train/config.ts";
import { planFinetuning, type PlanRequest } from "./finetune-plan.ts";

const architecture = clipConfigs["ViT-B-32-quickgelu"];
/** The settings of a plan by their names. */
const plan = (request: Omit<PlanRequest, "architecture">) => {
  const { recipe, settings } = planFinetuning({ architecture, ...request });
  return {
    recipe,
    ...(Object.fromEntries(settings.map(({ name, value }) => [name, value])) as Record<string, unknown>),
  };
};

describe("planFinetuning", () => {
  it("goes by the number of pairs", () => {
    expect(plan({ pairs: 320 })).toMatchObject({
      recipe: "few",
      lora: { rank: 8 },
      batchSize: 32,
      learningRate: 2e-4,
      steps: 300,
      warmupSteps: 30,
    });
    expect(plan({ pairs: 6_400 })).toMatchObject({
      recipe: "some",
      layerDecay: 0.7,
      batchSize: 64,
      chunkSize: 32,
      learningRate: 3e-5,
      steps: 1000,
    });
    expect(plan({ pairs: 128_000 })).toMatchObject({ recipe: "many", batchSize: 128, learningRate: 1e-5, steps: 3000 });
  });

  it("asks for no larger batch than there are pairs, nor chunks of batch norm", () => {
    expect(plan({ pairs: 20 })).toMatchObject({ batchSize: 20 });
    const resnet = planFinetuning({ pairs: 6_400, architecture: clipConfigs["RN50-quickgelu"] });
    expect(resnet.settings.map(({ name }) => name)).not.toContain("chunkSize");
  });

  it("raises the rate for a narrow model", () => {
    const narrow = { ...architecture, text: { ...architecture.text, width: 128, heads: 2 } };
    const { settings } = planFinetuning({ pairs: 6_400, architecture: narrow });
    expect(settings).toContainEqual(expect.objectContaining({ name: "learningRate", value: 1.2e-4 }));
  });

  it("takes what it is told, and lets the rest follow", () => {
    expect(plan({ pairs: 6_400, epochs: 2, settings: { batchSize: 16, lockText: true } })).toMatchObject({
      batchSize: 16,
      steps: 800,
      warmupSteps: 80,
      lockText: true,
    });
    expect(plan({ pairs: 6_400, recipe: "few", settings: { steps: 50, learningRate: 0.5 } })).toMatchObject({
      recipe: "few",
      steps: 50,
      warmupSteps: 5,
      learningRate: 0.5,
    });
    const { settings } = planFinetuning({ pairs: 6_400, architecture, settings: { learningRate: 0.5 } });
    expect(settings.filter(({ name }) => name === "learningRate")).toEqual([
      { name: "learningRate", value: 0.5, why: "as given" },
    ]);
  });

  it("says in words how often a pair is seen", () => {
    const why = (epochs: number) =>
      planFinetuning({ pairs: 6_400, architecture, epochs }).settings.find(({ name }) => name === "steps")!.why;
    expect([1, 2].map(why)).toEqual(["each pair once; as given", "each pair 2 times; as given"]);
  });

  it.each(["few", "some", "many"] as const)(
    "is a run that can be made, of %s pairs, with a reason for each setting",
    (recipe) => {
      const { settings } = planFinetuning({ pairs: 500, architecture, recipe });
      for (const { why } of settings) expect(why.length).toBeGreaterThan(10);
      const planned = Object.fromEntries(settings.map(({ name, value }) => [name, value]));
      parseStrict(trainConfigSchema, { init: "model", train: "pets", ...planned }, recipe);
    },
  );
});
