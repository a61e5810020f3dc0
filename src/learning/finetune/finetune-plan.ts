import type { z } from "zod";
import { checkOptions, numberFrom, oneOf, type OptionKinds, record, wholeNumber } from "../../core/options.ts";
import type { ClipConfig } from "../../model/towers/config.ts";
import type { trainConfigSchema } from "../train/config.ts";

/** Keys of a run's configuration file. */
export type RunSettings = Partial<z.input<typeof trainConfigSchema>>;

/** A setting of a fine-tuning, with the reason for its value. */
export interface PlannedSetting {
  readonly name: string;
  readonly value: unknown;
  readonly why: string;
}

/** Defaults of a fine-tuning, by the number of pairs. */
interface Recipe {
  /** Applies to fewer pairs than this. */
  readonly below: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** Peak learning rate, for a text tower of width {@link usualWidth}. */
  readonly learningRate: number;
  readonly settings: Pick<RunSettings, "lora" | "layerDecay">;
  readonly why: Readonly<Record<"what" | "learningRate" | "epochs" | "batchSize", string>>;
}

/** Recipes in ascending order of the number of pairs. */
export const finetuneRecipes = {
  few: {
    below: 1_000,
    epochs: 30,
    batchSize: 32,
    learningRate: 2e-4,
    settings: { lora: { rank: 8, alpha: 8 } },
    why: {
      what: "with few pairs, training all weights would overfit; LoRA preserves the model (Hu et al. 2022)",
      learningRate: "for LoRA on few images (Zanella and Ben Ayed 2024)",
      epochs: "so that few pairs still make enough steps",
      batchSize: "for LoRA on few images (Zanella and Ben Ayed 2024)",
    },
  },
  some: {
    below: 20_000,
    epochs: 10,
    batchSize: 64,
    learningRate: 3e-5,
    settings: { layerDecay: 0.7 },
    why: {
      what: "early blocks have general features and need to change least (Bao et al. 2022; Dong et al. 2022)",
      learningRate: "for end-to-end fine-tuning (Wortsman et al. 2022)",
      epochs: "for end-to-end fine-tuning (Wortsman et al. 2022)",
      batchSize: "with few classes, larger batches contain mostly repeats",
    },
  },
  many: {
    below: Infinity,
    epochs: 3,
    batchSize: 128,
    learningRate: 1e-5,
    settings: {},
    why: {
      what: "this many pairs can train all weights equally",
      learningRate: "for continued contrastive training (Goyal et al. 2023)",
      epochs: "this many pairs make enough steps; more epochs may help",
      batchSize: "more pairs to contrast, as in pre-training",
    },
  },
} satisfies Readonly<Record<string, Recipe>>;

/** A row of {@link finetuneRecipes}. */
export type RecipeName = keyof typeof finetuneRecipes;

/** Width for which learning rates are given; Adam's scale with 1 / width (Yang et al. 2021). */
const usualWidth = 512;
/** Pairs encoded at once. It affects memory, not results. */
const usualChunk = 32;
/** Number of validations and checkpoints in a run. */
const validations = 5;

export interface PlanRequest {
  /** Pairs to train on. */
  readonly pairs: number;
  readonly architecture: ClipConfig;
  /** Default: by the number of pairs. */
  readonly recipe?: RecipeName | undefined;
  /** Default: the recipe's. */
  readonly epochs?: number | undefined;
  /** Settings that override the plan. */
  readonly settings?: RunSettings | undefined;
}

export interface FinetunePlan {
  readonly recipe: RecipeName;
  readonly settings: readonly PlannedSetting[];
}

const requestKinds: OptionKinds<PlanRequest> = {
  ...{ pairs: wholeNumber(1), architecture: record, epochs: numberFrom(0), settings: record },
  recipe: oneOf(...Object.keys(finetuneRecipes)),
};

/** Plans a fine-tuning by the number of pairs, with a reason for each setting. */
export function planFinetuning(request: PlanRequest): FinetunePlan {
  checkOptions("planFinetuning", request, requestKinds, ["pairs", "architecture"]);
  const { pairs, architecture, recipe, epochs, settings = {} } = request;
  const names = Object.keys(finetuneRecipes) as RecipeName[];
  const chosen = recipe ?? names.find((name) => pairs < finetuneRecipes[name].below)!;
  const of: Recipe = finetuneRecipes[chosen];
  const batchSize = settings.batchSize ?? Math.min(of.batchSize, pairs);
  const often = epochs ?? of.epochs;
  const steps = settings.steps ?? Math.max(1, Math.round((often * pairs) / batchSize));
  const { vision, text } = architecture;
  const hasBatchNorm = vision.kind === "resnet" && vision.norm === "batch";
  const isChunked = batchSize > usualChunk && batchSize % usualChunk === 0 && !hasBatchNorm;
  const asked = epochs === undefined ? of.why.epochs : "as given";
  const planned: readonly PlannedSetting[] = [
    ...Object.entries(of.settings).map(([name, value]) => ({ name, value, why: of.why.what })),
    { name: "batchSize", value: batchSize, why: pairs < of.batchSize ? "all pairs" : of.why.batchSize },
    ...(isChunked ? [{ name: "chunkSize", value: usualChunk, why: "saves memory, with the same gradients" }] : []),
    { name: "steps", value: steps, why: `each pair ${often === 1 ? "once" : `${often} times`}; ${asked}` },
    {
      name: "learningRate",
      value: Number(((of.learningRate * usualWidth) / text.width).toPrecision(2)),
      why: `${of.learningRate}, ${of.why.learningRate}, × ${usualWidth}/${text.width} for a text tower ${text.width} wide (Yang et al. 2021)`,
    },
    { name: "warmupSteps", value: Math.round(steps / 10), why: "a tenth, since Adam's first steps are the largest" },
    { name: "weightDecay", value: 0.1, why: "half of pre-training's (Wortsman et al. 2022)" },
    { name: "gradClipNorm", value: 1, why: "limits the effect of an unusual batch" },
    { name: "validateEvery", value: Math.ceil(steps / validations), why: `${validations} points of a curve` },
    { name: "saveEvery", value: Math.ceil(steps / validations), why: "limits the loss in a power cut" },
  ];
  const given = Object.entries(settings).map(([name, value]) => ({ name, value, why: "as given" }));
  const isGiven = new Set(given.map(({ name }) => name));
  return { recipe: chosen, settings: [...planned.filter(({ name }) => !isGiven.has(name)), ...given] };
}
