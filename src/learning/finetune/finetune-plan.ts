import type { z } from "zod";
import { checkOptions, numberFrom, oneOf, type OptionKinds, record, wholeNumber } from "../../core/options.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import type { trainConfigSchema } from "../train/config.ts";

/** Keys of a run's configuration, as its file has them. */
export type RunSettings = Partial<z.input<typeof trainConfigSchema>>;

/** A setting of a fine-tuning, and why it has its value. */
export interface PlannedSetting {
  readonly name: string;
  readonly value: unknown;
  readonly why: string;
}

/** How a model is fine-tuned on so many pairs. */
interface Recipe {
  /** It is for fewer pairs than so many. */
  readonly below: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** The highest rate, of a text tower that is {@link usualWidth} wide. */
  readonly learningRate: number;
  readonly settings: Pick<RunSettings, "lora" | "layerDecay">;
  readonly why: Readonly<Record<"what" | "learningRate" | "epochs" | "batchSize", string>>;
}

/** Table: the defaults by how much there is to learn from. */
export const finetuneRecipes = {
  few: {
    below: 1_000,
    epochs: 30,
    batchSize: 32,
    learningRate: 2e-4,
    settings: { lora: { rank: 8, alpha: 8 } },
    why: {
      what: "so few pairs would be learned by heart by all weights; changes of low rank hold on to the model (Hu et al. 2022)",
      learningRate: "of low-rank changes from few images (Zanella and Ben Ayed 2024)",
      epochs: "so few pairs make few steps otherwise",
      batchSize: "as there (Zanella and Ben Ayed 2024)",
    },
  },
  some: {
    below: 20_000,
    epochs: 10,
    batchSize: 64,
    learningRate: 3e-5,
    settings: { layerDecay: 0.7 },
    why: {
      what: "early blocks see what all images have in common, and need to change least (Bao et al. 2022; Dong et al. 2022)",
      learningRate: "of end-to-end fine-tuning (Wortsman et al. 2022)",
      epochs: "as there (Wortsman et al. 2022)",
      batchSize: "of few classes a larger batch has nothing but repeats",
    },
  },
  many: {
    below: Infinity,
    epochs: 3,
    batchSize: 128,
    learningRate: 1e-5,
    settings: {},
    why: {
      what: "so many pairs can move all weights alike",
      learningRate: "of going on with contrastive training (Goyal et al. 2023)",
      epochs: "so many pairs make enough steps; more is a matter of patience",
      batchSize: "more pairs to tell apart, as pre-training has",
    },
  },
} satisfies Readonly<Record<string, Recipe>>;

/** A row of {@link finetuneRecipes}. */
export type RecipeName = keyof typeof finetuneRecipes;

/** Rates are for text towers of this width; Adam's go with 1 / width (Yang et al. 2021). */
const usualWidth = 512;
/** Pairs encoded at once: more need more memory, and give the same. */
const usualChunk = 32;
/** Validations, and checkpoints, on the way. */
const validations = 5;

/** What a plan is made of. */
export interface PlanRequest {
  /** Pairs to train on. */
  readonly pairs: number;
  readonly architecture: ClipConfig;
  /** Default: by the number of pairs. */
  readonly recipe?: RecipeName | undefined;
  /** How often each pair is seen; default the recipe's. */
  readonly epochs?: number | undefined;
  /** What is to be another than planned. */
  readonly settings?: RunSettings | undefined;
}

/** How a model will be fine-tuned. */
export interface FinetunePlan {
  readonly recipe: RecipeName;
  readonly settings: readonly PlannedSetting[];
}

const requestKinds: OptionKinds<PlanRequest> = {
  pairs: wholeNumber(1),
  architecture: record,
  recipe: oneOf(...Object.keys(finetuneRecipes)),
  epochs: numberFrom(0),
  settings: record,
};

/** The settings of a fine-tuning, by the size of the data, each with its reason. */
export function planFinetuning(request: PlanRequest): FinetunePlan {
  checkOptions("planFinetuning", request, requestKinds, ["pairs", "architecture"]);
  const { pairs, architecture, recipe, epochs, settings = {} } = request;
  const names = Object.keys(finetuneRecipes) as RecipeName[];
  const chosen = recipe ?? names.find((name) => pairs < finetuneRecipes[name].below)!;
  const of: Recipe = finetuneRecipes[chosen];
  const batchSize = settings.batchSize ?? Math.min(of.batchSize, pairs);
  const often = epochs ?? of.epochs;
  const steps = settings.steps ?? Math.max(1, Math.round((often * pairs) / batchSize));
  const width = architecture.text.width;
  const isChunked = batchSize > usualChunk && batchSize % usualChunk === 0 && !hasBatchNorm(architecture);
  const asked = epochs === undefined ? of.why.epochs : "as you said";
  const planned: readonly PlannedSetting[] = [
    ...Object.entries(of.settings).map(([name, value]) => ({ name, value, why: of.why.what })),
    { name: "batchSize", value: batchSize, why: pairs < of.batchSize ? "all pairs that there are" : of.why.batchSize },
    ...(isChunked
      ? [{ name: "chunkSize", value: usualChunk, why: "the memory of so many pairs, and the same gradients" }]
      : []),
    { name: "steps", value: steps, why: `each pair ${often === 1 ? "once" : `${often} times`}; ${asked}` },
    {
      name: "learningRate",
      value: Number(((of.learningRate * usualWidth) / width).toPrecision(2)),
      why: `${of.learningRate}, ${of.why.learningRate}, × ${usualWidth}/${width} for a text tower ${width} wide (Yang et al. 2021)`,
    },
    { name: "warmupSteps", value: Math.round(steps / 10), why: "a tenth: Adam's first steps are the largest" },
    { name: "weightDecay", value: 0.1, why: "half of pre-training's (Wortsman et al. 2022)" },
    { name: "gradClipNorm", value: 1, why: "one odd batch must not carry the model away" },
    { name: "validateEvery", value: Math.ceil(steps / validations), why: `${validations} points of a curve` },
    { name: "saveEvery", value: Math.ceil(steps / validations), why: "what a power cut costs" },
  ];
  const given = Object.entries(settings).map(([name, value]) => ({ name, value, why: "as you said" }));
  const isGiven = new Set(given.map(({ name }) => name));
  return { recipe: chosen, settings: [...planned.filter(({ name }) => !isGiven.has(name)), ...given] };
}

function hasBatchNorm({ vision }: ClipConfig): boolean {
  return vision.kind === "resnet" && vision.norm === "batch";
}
