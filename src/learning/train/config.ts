import { dirname, resolve } from "node:path";
import { z } from "zod";
import { clipConfigSchema, size } from "../../model/checkpoints/config-schema.ts";
import { ClipError } from "../../core/errors.ts";
import { exists } from "../../core/files.ts";
import { readJson } from "../../core/parse.ts";
import { isLora, loraConfigSchema } from "../../model/pretrained/lora.ts";
import { isModelName } from "../../model/hub/known-models.ts";
import { photoAugment } from "../../inputs/image/augment.ts";
import { preprocessSchema } from "../../inputs/image/preprocess-config.ts";
import { isAddress } from "../../inputs/data/plain-shard.ts";
import { decoderOf } from "./batches/synthetic-captions.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { clipConfigs, type ClipModelName } from "../../model/towers/configs.ts";
import { parameterSpecs } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { trainedParameters } from "./engine/trained-parameters.ts";

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
  /** A table's column with the paths of images, or the images themselves. Default: `image`, `path` or `filepath`. */
  imageColumn: z.string().optional(),
  /** A table's column with captions. Default: `caption` or `title`. */
  captionColumn: z.string().optional(),
  /** A folder that a table's paths are relative to, and in which its images may lie, links followed. Default: the table's. */
  images: z.string().min(1).optional(),
  /** Sentences for the names of class folders; `{}` marks the place. */
  classTemplates: z.array(z.string().includes("{}")).min(1).optional(),
};
/** Where synthetic captions are: a column, or the `x` of `a.x.txt` or of a key of `a.json`; for the objective clips. */
const syntheticColumn = z.string().min(1).optional();
const source = { source: z.string(), ...columns };
/** More would make an epoch of nothing but copies. */
const maxWeight = 1000;
const mixedSource = z.strictObject({
  ...source,
  syntheticColumn,
  weight: z.number().positive().max(maxWeight).optional(),
});

/** A training run as its JSON file says it; paths are relative to the file. */
export const trainConfigSchema = z
  .strictObject({
    /** A name of `clipConfigs`, or an architecture; for a new model. */
    model: z
      .union([z.enum(Object.keys(clipConfigs) as [ClipModelName, ...ClipModelName[]]), clipConfigSchema])
      .optional(),
    /** In place of `model`: a model folder or weight file to go on from, with its architecture, vocabulary and preprocessing. */
    init: z.string().min(1).optional(),
    /** Another size for images than that of `init`, in pixels; a ViT's positions are resized for it. */
    imageSize: size(8_192).optional(),
    /** The published vocabulary (default); or one of at most the model's vocabSize tokens, made from the captions. */
    tokenizer: z.enum(["clip", "captions"]).optional(),
    /** A folder, shards, or a table, as `readPairs` takes it; or several, each with the weight by which it is drawn. */
    train: z.preprocess(
      // One source with how it is read needs no list around it.
      (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? [value] : value),
      z.union([z.string(), z.array(mixedSource).min(1)]),
    ),
    /** One, for zero-shot validation: each image's first caption among those of all. */
    validation: z.union([z.string(), z.strictObject(source)]).optional(),
    /** In place of `validation`: a share of the images of `train`, of each class the same, drawn by the seed. They are not trained on. */
    validationShare: share.gt(0).lt(1).optional(),
    // For the sources that do not say it themselves.
    ...columns,
    syntheticColumn,
    /** Larger images, in width × height, are left out. */
    maxImagePixels: count.optional(),
    /**
     * Read shard after shard, in a new order each epoch, and shuffle among so many pairs. For disks that are slow at jumping; without
     * it all are shuffled.
     */
    shuffleBuffer: count.optional(),
    /** Sentences around the validation captions, averaged; `{}` marks the place. */
    templates: z.array(z.string().includes("{}")).min(1).default(["{}"]),
    /** Default: as CLIP was trained. */
    preprocess: preprocessSchema.unwrap().optional(),
    /** How training images are varied. */
    augment: augmentSchema.default(photoAugment as z.output<typeof augmentSchema>),

    /**
     * Default: what belongs to the model's scores. `clips` also takes a synthetic caption of each image: images are to find a
     * sentence of it too, and where its weight is not 0 a decoder of `captionLength` tokens learns to write it, beside the model.
     */
    objective: z
      .strictObject({
        kind: z.literal("clips"),
        decoderWeight: z.number().min(0).default(2),
        captionLength: size(1_024).default(128),
      })
      .optional(),

    /** Pairs per update. */
    batchSize: count,
    /** Pairs encoded at once; a divisor of batchSize. Less needs less memory and more time, with the same result but for batch norm's statistics. */
    chunkSize: count.optional(),
    /** Updates. */
    steps: count,
    /** Of AdamW, its highest. */
    learningRate: z.number().positive(),
    /** What the rate does after the warm-up: half a cosine down to nearly 0, or nothing before the cool-down. */
    schedule: z.enum(["cosine", "constant"]).default("cosine"),
    /** First steps, in which the rate rises from 0 in equal parts. */
    warmupSteps: z.int().min(0).default(0),
    /** Last steps of a constant schedule, in which the rate falls to nearly 0 in equal parts. */
    cooldownSteps: z.int().min(0).default(0),
    /** Share of each target that goes to all texts (and images) of the batch alike; for softmax scores. */
    labelSmoothing: share.lt(1).default(0),
    /** Whether the image tower stays as it is, but for its last blocks that are unlocked and what follows them. */
    lockImage: z.boolean().default(false),
    /** How many of a locked image tower's last blocks are trained. */
    unlockedImageBlocks: z.int().min(0).default(0),
    /** Whether the text tower stays as it is, but for its last blocks that are unlocked and what follows them. */
    lockText: z.boolean().default(false),
    /** How many of a locked text tower's last blocks are trained. */
    unlockedTextBlocks: z.int().min(0).default(0),
    /**
     * Trains changes of low rank to the blocks' matrices alone, in the towers that are not locked; for `init`. The change is
     * (alpha / rank) · up · down.
     */
    lora: loraConfigSchema.optional(),
    /** Share of each image's patches that a step does not see: less time and memory, and less to overfit on. */
    patchDropout: share.max(0.9).default(0),
    /** What the learning rate is multiplied with from each block to the one before it. */
    layerDecay: z.number().positive().max(1).default(1),
    /** AdamW's share of the old value in its average of the gradients. */
    beta1: share.lt(1).default(0.9),
    /** The same in its average of their squares. */
    beta2: share.lt(1).default(0.98),
    /** AdamW's, beside the root of that average. */
    epsilon: z.number().positive().default(1e-6),
    /** AdamW's pull of weights towards 0. */
    weightDecay: z.number().min(0).default(0.2),
    /** Parameters, or beginnings of their paths, that weight decay leaves alone beside vectors, such as `text.tokenEmbedding`. */
    undecayed: z.array(z.string().min(1)).default([]),
    /** Gradients whose norm is above it are scaled down to it. */
    gradClipNorm: z.number().positive().optional(),
    /** Share of the old value in a moving average of the weights, which is then what is validated and saved. */
    averageDecay: share.lt(1).optional(),
    /** Computes each block again on the way back instead of keeping what is in it: less memory and more time, the same result. */
    checkpointBlocks: z.boolean().default(false),
    /** Of everything drawn: the same seed gives the same run. */
    seed: z.int().min(0).default(0),

    /** Steps between validations. */
    validateEvery: count.default(1000),
    /** Steps between checkpoints: what a run that is killed loses. */
    saveEvery: count.default(1000),
    /** Threads that prepare data. Default: by the machine. */
    workers: count.optional(),
    /** How the finished model's matrices are stored. */
    dtype: z.enum(["F32", "F16"]).default("F32"),
  })
  .refine(({ model, init }) => (model === undefined) !== (init === undefined), {
    path: ["model"],
    message: "a run needs a model or init, and not both",
  })
  .refine(({ init, tokenizer, preprocess }) => init === undefined || (!tokenizer && !preprocess), {
    path: ["init"],
    message: "brings its own tokenizer and preprocess; leave these out",
  })
  .refine(({ init, imageSize }) => init !== undefined || imageSize === undefined, {
    path: ["imageSize"],
    message: "is for init; a new model's is model.vision.imageSize",
  })
  .refine(({ init, lora }) => init !== undefined || lora === undefined, {
    path: ["lora"],
    message: "changes a model that is there; set init",
  })
  .refine(
    ({ lora, unlockedImageBlocks, unlockedTextBlocks }) => !lora || unlockedImageBlocks + unlockedTextBlocks === 0,
    {
      path: ["lora"],
      message: "is for all blocks of a tower; leave unlockedImageBlocks and unlockedTextBlocks out",
    },
  )
  .refine(
    ({ objective, syntheticColumn, train }) =>
      objective !== undefined ||
      [syntheticColumn, ...(typeof train === "string" ? [] : train.map((each) => each.syntheticColumn))].every(
        (column) => column === undefined,
      ),
    {
      path: ["syntheticColumn"],
      message: 'is for synthetic captions; set "objective" to { "kind": "clips" }',
    },
  )
  .refine(({ validation, validationShare }) => validation === undefined || validationShare === undefined, {
    path: ["validationShare"],
    message: "is in place of validation; leave one of them out",
  })
  .refine(({ batchSize, chunkSize }) => chunkSize === undefined || batchSize % chunkSize === 0, {
    path: ["chunkSize"],
    message: "must divide batchSize",
  })
  .refine(({ schedule, cooldownSteps }) => schedule === "constant" || cooldownSteps === 0, {
    path: ["cooldownSteps"],
    message: 'is for a constant schedule; set "schedule" to "constant"',
  })
  .refine(({ steps, warmupSteps, cooldownSteps }) => warmupSteps + cooldownSteps <= steps, {
    path: ["warmupSteps"],
    message: "with cooldownSteps must be at most steps",
  })
  .refine(({ lockImage, unlockedImageBlocks }) => lockImage || unlockedImageBlocks === 0, {
    path: ["unlockedImageBlocks"],
    message: "only a locked tower has blocks to unlock; set lockImage",
  })
  .refine(({ lockText, unlockedTextBlocks }) => lockText || unlockedTextBlocks === 0, {
    path: ["unlockedTextBlocks"],
    message: "only a locked tower has blocks to unlock; set lockText",
  });

/** A training run, with all defaults filled in. */
export type TrainConfig = z.output<typeof trainConfigSchema>;

/**
 * Reads a run's JSON file; paths in it become absolute. The name of a published model in `init` stays
 * one, for `resolveModel`.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read; `CLIP_CONFIG` with everything wrong in it, misspelt keys with the
 *   nearest right one.
 */
export async function readTrainConfig(path: string): Promise<TrainConfig> {
  const config = await readJson(trainConfigSchema, path);
  const absolute = (source: string) => (isAddress(source) ? source : resolve(dirname(path), source));
  const { train, validation, init, images } = config;
  const isName = init !== undefined && isModelName(init) && !(await exists(absolute(init)));
  const placed = <Given extends { source: string; images?: string | undefined }>(given: Given): Given => ({
    ...given,
    source: absolute(given.source),
    ...(given.images !== undefined && { images: absolute(given.images) }),
  });
  return {
    ...config,
    ...(init !== undefined && { init: isName ? init : absolute(init) }),
    ...(images !== undefined && { images: absolute(images) }),
    train: typeof train === "string" ? absolute(train) : train.map(placed),
    ...(typeof validation === "string" && { validation: absolute(validation) }),
    ...(typeof validation === "object" && { validation: placed(validation) }),
  };
}

/** The architecture of a run's new model; `text.vocabSize` is what a vocabulary made of the captions aims for. */
export function configuredArchitecture({ model }: TrainConfig): ClipConfig {
  if (model === undefined) throw new ClipError("CLIP_CONFIG", "the run has no model; name one");
  return typeof model === "string" ? clipConfigs[model] : model;
}

/**
 * The architecture of a run's new model whose tokenizer has this many tokens.
 *
 * @throws {ClipError} `CLIP_CONFIG` if the published vocabulary does not fit it, or as {@link checkTrainable}.
 */
export function trainedArchitecture(run: TrainConfig, vocabSize: number): ClipConfig {
  const config = configuredArchitecture(run);
  if (run.tokenizer !== "captions" && config.text.vocabSize !== vocabSize) {
    const both = `the model's text.vocabSize is ${config.text.vocabSize}, the published vocabulary has ${vocabSize} tokens`;
    throw new ClipError("CLIP_CONFIG", `${both}; set it to that, or "tokenizer" to "captions"`);
  }
  const architecture = { ...config, text: { ...config.text, vocabSize }, decoder: decoderOf(run.objective) };
  checkTrainable(run, architecture);
  return architecture;
}

/**
 * Refuses what a run asks for and an architecture has not, before anything is written.
 *
 * @throws {ClipError} `CLIP_CONFIG`
 */
export function checkTrainable(run: TrainConfig, config: ClipConfig): void {
  const { vision, score } = config;
  if (score === "sigmoid" && run.labelSmoothing > 0)
    throw new ClipError(
      "CLIP_CONFIG",
      "labelSmoothing is for softmax scores, and this model's are sigmoids; leave it out",
    );
  if (run.patchDropout > 0 && (vision.kind !== "vit" || vision.pool === "places"))
    throw new ClipError(
      "CLIP_CONFIG",
      "patchDropout is for ViTs whose features are read from one token, and this model's are not; leave it out",
    );
  if (score !== "sigmoid" && run.batchSize < 2)
    throw new ClipError(
      "CLIP_CONFIG",
      "in a batch of one pair there is nothing to tell it apart from; set batchSize to 2 or more",
    );
  if (run.lora && ![...parameterSpecs(clipParameters(config)).keys()].some(isLora))
    throw new ClipError(
      "CLIP_CONFIG",
      "lora changes the blocks of transformers, and no tower that is not locked has any; unlock one, or leave lora out",
    );
  trainedParameters(config, run);
}
