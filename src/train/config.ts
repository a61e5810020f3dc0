import { dirname, resolve } from "node:path";
import { z } from "zod";
import { clipConfigSchema } from "../checkpoints/index.ts";
import { ClipError } from "../core/errors.ts";
import { readJson } from "../core/parse.ts";
import { photoAugment } from "../image/augment.ts";
import { preprocessSchema } from "../image/preprocess-config.ts";
import { isAddress } from "./sources/plain-shard.ts";
import { type ClipConfig, clipConfigs, type ClipModelName } from "../models/index.ts";

const count = z.int().positive();
const share = z.number().min(0).max(1);
const range = (least: number, most: number) =>
  z
    .tuple([z.number(), z.number()])
    .refine(
      ([from, to]) => least < from && from <= to && to <= most,
      `must be two numbers, the smaller first, above ${least} and at most ${most}`,
    );

const augmentSchema = z.strictObject({
  geometry: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("randomResizedCrop"), area: range(0, 1) }),
    z.strictObject({
      kind: z.literal("randomPlacement"),
      background: z.enum(["none", "random"]),
      scale: range(0, 2),
      shift: share,
      rotation: z.number().min(0).max(180),
      warp: z.number().min(0).max(0.2),
    }),
  ]),
  blur: z.number().min(0).max(8),
  brightness: share,
  contrast: share,
  saturation: share,
  grayscale: share,
  erase: share,
});

const columns = {
  imageColumn: z.string().optional(),
  captionColumn: z.string().optional(),
  /** Sentences for the names of class folders; `{}` marks the place. */
  classTemplates: z.array(z.string().includes("{}")).min(1).optional(),
};
const source = { source: z.string(), ...columns };
/** More would make an epoch of nothing but copies. */
const maxWeight = 1000;
const mixedSource = z.strictObject({ ...source, weight: z.number().positive().max(maxWeight).optional() });

/** A training run as its JSON file says it; paths are relative to the file. */
export const trainConfigSchema = z
  .strictObject({
    /** A name of `clipConfigs`, or an architecture. */
    model: z.union([z.enum(Object.keys(clipConfigs) as [ClipModelName, ...ClipModelName[]]), clipConfigSchema]),
    /** The published vocabulary; or one of at most the model's vocabSize tokens, made from the captions. */
    tokenizer: z.enum(["clip", "captions"]).default("clip"),
    /** A folder, shards, or a table, as `readPairs` takes it; or several, each with the weight by which it is drawn. */
    train: z.union([z.string(), z.array(mixedSource).min(1)]),
    /** One, for zero-shot validation: each picture's first caption among those of all. */
    validation: z.union([z.string(), z.strictObject(source)]).optional(),
    /** For the sources that do not say it themselves. */
    ...columns,
    /** Larger pictures, in width × height, are left out. */
    maxImagePixels: count.optional(),
    /**
     * Read shard after shard, in a new order each epoch, and shuffle among so many pairs. For disks that are slow at jumping; without
     * it all are shuffled.
     */
    shuffleBuffer: count.optional(),
    /** Sentences around the validation captions, averaged; `{}` marks the place. */
    templates: z.array(z.string().includes("{}")).min(1).default(["{}"]),
    preprocess: preprocessSchema,
    augment: augmentSchema.default(photoAugment as z.output<typeof augmentSchema>),

    /** Pairs per update. */
    batchSize: count,
    /** Pairs encoded at once; a divisor of batchSize. Less needs less memory and more time, with the same result. */
    chunkSize: count.optional(),
    steps: count,
    learningRate: z.number().positive(),
    warmupSteps: z.int().min(0).default(0),
    beta1: share.lt(1).default(0.9),
    beta2: share.lt(1).default(0.98),
    epsilon: z.number().positive().default(1e-6),
    weightDecay: z.number().min(0).default(0.2),
    gradClipNorm: z.number().positive().optional(),
    /** Share of the old value in a moving average of the weights, which is then what is validated and saved. */
    averageDecay: share.lt(1).optional(),
    checkpointBlocks: z.boolean().default(false),
    seed: z.int().min(0).default(0),

    /** Steps between validations, and between checkpoints. */
    validateEvery: count.default(1000),
    saveEvery: count.default(1000),
    /** Threads that prepare data. */
    workers: count.optional(),
    /** How the finished model's matrices are stored. */
    dtype: z.enum(["F32", "F16"]).default("F32"),
  })
  .refine(({ batchSize, chunkSize }) => chunkSize === undefined || batchSize % chunkSize === 0, {
    path: ["chunkSize"],
    message: "must divide batchSize",
  });

/** A training run, with all defaults filled in. */
export type TrainConfig = z.output<typeof trainConfigSchema>;

/**
 * Reads a run's JSON file; paths in it become absolute.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read; `CLIP_CONFIG` with everything wrong in it, misspelt keys with the
 *   nearest right one.
 */
export async function readTrainConfig(path: string): Promise<TrainConfig> {
  const config = await readJson(trainConfigSchema, path);
  const absolute = (source: string) => (isAddress(source) ? source : resolve(dirname(path), source));
  const { train, validation } = config;
  return {
    ...config,
    train:
      typeof train === "string" ? absolute(train) : train.map((each) => ({ ...each, source: absolute(each.source) })),
    ...(typeof validation === "string" && { validation: absolute(validation) }),
    ...(typeof validation === "object" && { validation: { ...validation, source: absolute(validation.source) } }),
  };
}

/** The architecture that a run asks for; `text.vocabSize` is what a vocabulary made of the captions aims for. */
export function configuredArchitecture({ model }: TrainConfig): ClipConfig {
  return typeof model === "string" ? clipConfigs[model] : model;
}

/** The architecture of a run whose tokenizer has this many tokens. */
export function trainedArchitecture(run: TrainConfig, vocabSize: number): ClipConfig {
  const config = configuredArchitecture(run);
  if (config.score === "sigmoid" || config.text.pool === "last")
    throw new ClipError(
      "CLIP_CONFIG",
      "models with sigmoid scores or texts read at their last place are not trained yet",
    );
  if (run.tokenizer === "clip" && config.text.vocabSize !== vocabSize) {
    const both = `the model's text.vocabSize is ${config.text.vocabSize}, the published vocabulary has ${vocabSize} tokens`;
    throw new ClipError("CLIP_CONFIG", `${both}; set it to that, or "tokenizer" to "captions"`);
  }
  return { ...config, text: { ...config.text, vocabSize } };
}
