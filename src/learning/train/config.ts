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
import { trainedParameters } from "./step/trained-parameters.ts";

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
  /** Table column with image paths, or with the images themselves. Default: `image`, `path` or `filepath`. */
  imageColumn: z.string().optional(),
  /** Table column with captions. Default: `caption` or `title`. */
  captionColumn: z.string().optional(),
  /** Folder that holds a table's images; its paths are relative to it. Links out of it are refused. Default: the table's folder. */
  images: z.string().min(1).optional(),
  /** Templates that turn the name of a class folder into captions; `{}` stands for the name. */
  classTemplates: z.array(z.string().includes("{}")).min(1).optional(),
};
/** Source of synthetic captions, for the objective `clips`: a table column, or the `x` of `a.x.txt`, or a key of `a.json`. */
const syntheticColumn = z.string().min(1).optional();
const source = { source: z.string(), ...columns };
/** More would make an epoch of nothing but copies. */
const maxWeight = 1000;
const mixedSource = z.strictObject({
  ...source,
  syntheticColumn,
  weight: z.number().positive().max(maxWeight).optional(),
});

/** The schema of a training run's JSON file; paths are relative to the file. */
export const trainConfigSchema = z
  .strictObject({
    /** Architecture of a new model: a name from `clipConfigs`, or an object. */
    model: z
      .union([z.enum(Object.keys(clipConfigs) as [ClipModelName, ...ClipModelName[]]), clipConfigSchema])
      .optional(),
    /** Instead of `model`: a model folder or weight file to continue from, with its architecture, vocabulary and preprocessing. */
    init: z.string().min(1).optional(),
    /** Image size in pixels, if it differs from that of `init`; a ViT's positional embedding is resized. */
    imageSize: size(8_192).optional(),
    /** Vocabulary: CLIP's (default), or one trained on the captions, with at most the model's vocabSize tokens. */
    tokenizer: z.enum(["clip", "captions"]).optional(),
    /** Training data: a folder, shards or a table; or a list of sources, each with a sampling weight. */
    train: z.preprocess(
      // A single source with options needs no list.
      (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? [value] : value),
      z.union([z.string(), z.array(mixedSource).min(1)]),
    ),
    /** One source for zero-shot validation: each image must find its first caption among all first captions. */
    validation: z.union([z.string(), z.strictObject(source)]).optional(),
    /** Instead of `validation`: a share of the training images, equal for every class, that is held out. */
    validationShare: share.gt(0).lt(1).optional(),
    // Defaults for the sources.
    ...columns,
    syntheticColumn,
    /** Skip images with more pixels (width × height). */
    maxImagePixels: count.optional(),
    /**
     * Read shards one after the other, in a new order each epoch, and shuffle within a buffer of this many pairs. For disks with slow
     * random access; by default all pairs are shuffled.
     */
    shuffleBuffer: count.optional(),
    /** Prompt templates for validation; the text embeddings are averaged. `{}` stands for the caption. */
    templates: z.array(z.string().includes("{}")).min(1).default(["{}"]),
    /** Image preprocessing. Default: CLIP's. */
    preprocess: preprocessSchema.unwrap().optional(),
    /** Image augmentation. */
    augment: augmentSchema.default(photoAugment as z.output<typeof augmentSchema>),

    /**
     * Default: CLIP's loss, or SigLIP's for a SigLIP-style model. `clips` adds a synthetic caption of each image (Liu et al. 2024):
     * images must also find one sentence of it, and with `decoderWeight` above 0 a decoder learns to write it, up to `captionLength` tokens.
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
    /** Pairs encoded at once; must divide batchSize. Smaller chunks save memory and cost time; results are equal except for batch norm statistics. */
    chunkSize: count.optional(),
    /** Number of updates. */
    steps: count,
    /** Peak learning rate. */
    learningRate: z.number().positive(),
    /** Learning-rate schedule after the warm-up: cosine decay to nearly 0, or constant until the cool-down. */
    schedule: z.enum(["cosine", "constant"]).default("cosine"),
    /** Steps of linear warm-up from 0. */
    warmupSteps: z.int().min(0).default(0),
    /** Steps of linear cool-down to nearly 0 at the end of a constant schedule. */
    cooldownSteps: z.int().min(0).default(0),
    /** Label smoothing: share of each target spread evenly over the batch. Softmax losses only. */
    labelSmoothing: share.lt(1).default(0),
    /** Freeze the image tower, except for unlocked blocks and the layers after them. */
    lockImage: z.boolean().default(false),
    /** Number of last blocks of a frozen image tower that are trained. */
    unlockedImageBlocks: z.int().min(0).default(0),
    /** Freeze the text tower, except for unlocked blocks and the layers after them. */
    lockText: z.boolean().default(false),
    /** Number of last blocks of a frozen text tower that are trained. */
    unlockedTextBlocks: z.int().min(0).default(0),
    /**
     * LoRA: train only low-rank changes of the blocks' matrices, (alpha / rank) · up · down, in the towers that are not frozen. Needs
     * `init`.
     */
    lora: loraConfigSchema.optional(),
    /** Share of each image's patches dropped in a step (FLIP): saves time and memory, and regularizes. */
    patchDropout: share.max(0.9).default(0),
    /** Layer-wise learning-rate decay: factor from each block to the one before it. */
    layerDecay: z.number().positive().max(1).default(1),
    /** β₁, decay rate of AdamW's first moment. */
    beta1: share.lt(1).default(0.9),
    /** β₂, decay rate of AdamW's second moment. */
    beta2: share.lt(1).default(0.98),
    /** ε of AdamW. */
    epsilon: z.number().positive().default(1e-6),
    /** Weight decay of AdamW. */
    weightDecay: z.number().min(0).default(0.2),
    /** Parameters without weight decay besides gains, biases and vectors: paths or their beginnings, such as `text.tokenEmbedding`. */
    noWeightDecay: z.array(z.string().min(1)).default([]),
    /** Clip the gradient to this norm. */
    gradClipNorm: z.number().positive().optional(),
    /** EMA decay of the weights; the averaged weights are validated and saved. */
    emaDecay: share.lt(1).optional(),
    /** Gradient checkpointing: recompute each block in the backward pass. Saves memory, costs time, results are equal. */
    checkpointBlocks: z.boolean().default(false),
    /** Random seed; equal seeds reproduce the run. */
    seed: z.int().min(0).default(0),

    /** Steps between validations. */
    validateEvery: count.default(1000),
    /** Steps between checkpoints; a killed run loses at most these. */
    saveEvery: count.default(1000),
    /** Threads that prepare data. Default: chosen for the machine. */
    workers: count.optional(),
    /** Dtype of the finished model's matrices. */
    dtype: z.enum(["F32", "F16"]).default("F32"),
  })
  .superRefine((run, context) => {
    const { model, init, train, lora, batchSize, chunkSize, steps, warmupSteps, cooldownSteps } = run;
    const { lockImage, unlockedImageBlocks, lockText, unlockedTextBlocks } = run;
    const refuseIf = (isWrong: boolean, key: string, message: string) => {
      if (isWrong) context.addIssue({ code: "custom", path: [key], message });
    };
    refuseIf((model === undefined) === (init === undefined), "model", "a run needs a model or init, and not both");
    const ownParts = run.tokenizer ?? run.preprocess;
    refuseIf(
      init !== undefined && ownParts !== undefined,
      "init",
      "brings its own tokenizer and preprocess; leave these out",
    );
    const sizesNewModel = init === undefined && run.imageSize !== undefined;
    refuseIf(sizesNewModel, "imageSize", "is for init; a new model's is model.vision.imageSize");
    refuseIf(lora !== undefined && init === undefined, "lora", "needs a model to change; set init");
    refuseIf(
      lora !== undefined && unlockedImageBlocks + unlockedTextBlocks > 0,
      "lora",
      "applies to all blocks of a tower; leave out unlockedImageBlocks and unlockedTextBlocks",
    );
    const sources = typeof train === "string" ? [run] : [run, ...train];
    refuseIf(
      run.objective === undefined && sources.some((source) => source.syntheticColumn !== undefined),
      "syntheticColumn",
      'is for synthetic captions; set "objective" to { "kind": "clips" }',
    );
    const validatesTwice = run.validation !== undefined && run.validationShare !== undefined;
    refuseIf(validatesTwice, "validationShare", "excludes validation; leave one of them out");
    refuseIf(chunkSize !== undefined && batchSize % chunkSize !== 0, "chunkSize", "must divide batchSize");
    const coolsDownCosine = run.schedule === "cosine" && cooldownSteps > 0;
    refuseIf(coolsDownCosine, "cooldownSteps", 'is for a constant schedule; set "schedule" to "constant"');
    refuseIf(warmupSteps + cooldownSteps > steps, "warmupSteps", "with cooldownSteps must be at most steps");
    const locked = (lock: string) => `only a locked tower has blocks to unlock; set ${lock}`;
    refuseIf(!lockImage && unlockedImageBlocks > 0, "unlockedImageBlocks", locked("lockImage"));
    refuseIf(!lockText && unlockedTextBlocks > 0, "unlockedTextBlocks", locked("lockText"));
  });

/** A training run, with all defaults filled in. */
export type TrainConfig = z.output<typeof trainConfigSchema>;

/**
 * Reads a run's JSON file; its paths become absolute. `init` may be the name of a published model, which is kept.
 *
 * @throws {ClipError} `CLIP_FILE` if it cannot be read; `CLIP_CONFIG` with all errors in it, and suggestions for misspelt
 *   keys.
 */
export async function readTrainConfig(path: string): Promise<TrainConfig> {
  const config = await readJson(trainConfigSchema, path);
  const absolute = (source: string) => (isAddress(source) ? source : resolve(dirname(path), source));
  const { train, validation, init, images } = config;
  const isName = init !== undefined && isModelName(init) && !(await exists(absolute(init)));
  const placedImages = (path: string | undefined) => path !== undefined && { images: absolute(path) };
  const placed = <Given extends { source: string; images?: string | undefined }>(given: Given): Given => {
    return { ...given, source: absolute(given.source), ...placedImages(given.images) };
  };
  return {
    ...config,
    ...(init !== undefined && { init: isName ? init : absolute(init) }),
    ...placedImages(images),
    train: typeof train === "string" ? absolute(train) : train.map(placed),
    ...(typeof validation === "string" && { validation: absolute(validation) }),
    ...(typeof validation === "object" && { validation: placed(validation) }),
  };
}

/** The architecture of a run's new model; for a vocabulary trained on the captions `text.vocabSize` is an upper bound. */
export function configuredArchitecture({ model }: TrainConfig): ClipConfig {
  if (model === undefined) throw new ClipError("CLIP_CONFIG", "the run has no model; set model or init");
  return typeof model === "string" ? clipConfigs[model] : model;
}

/**
 * The architecture of a run's new model for a tokenizer of this size.
 *
 * @throws {ClipError} `CLIP_CONFIG` if the published vocabulary does not fit it, or as {@link checkTrainable}.
 */
export function trainedArchitecture(run: TrainConfig, vocabSize: number): ClipConfig {
  const config = configuredArchitecture(run);
  if (run.tokenizer !== "captions" && config.text.vocabSize !== vocabSize) {
    const both = `the model's text.vocabSize is ${config.text.vocabSize}, but the published vocabulary has ${vocabSize} tokens`;
    throw new ClipError("CLIP_CONFIG", `${both}; set it to ${vocabSize}, or set "tokenizer" to "captions"`);
  }
  const architecture = { ...config, text: { ...config.text, vocabSize }, decoder: decoderOf(run.objective) };
  checkTrainable(run, architecture);
  return architecture;
}

/**
 * Checks that an architecture supports a run's options.
 *
 * @throws {ClipError} `CLIP_CONFIG`
 */
export function checkTrainable(run: TrainConfig, config: ClipConfig): void {
  const { vision, score } = config;
  const isSigmoid = score === "sigmoid";
  const refuseIf = (isWrong: boolean, message: string) => {
    if (isWrong) throw new ClipError("CLIP_CONFIG", message);
  };
  refuseIf(
    isSigmoid && run.labelSmoothing > 0,
    "labelSmoothing is for softmax losses, but this model is SigLIP-style; leave it out",
  );
  refuseIf(
    run.patchDropout > 0 && (vision.kind !== "vit" || vision.pool === "places"),
    "patchDropout is for ViTs that read their features from one token, unlike this model; leave it out",
  );
  const isAlone = !isSigmoid && run.batchSize < 2;
  refuseIf(isAlone, "a batch of one pair has no negatives to learn from; set batchSize to 2 or more");
  refuseIf(
    run.lora !== undefined && ![...parameterSpecs(clipParameters(config)).keys()].some(isLora),
    "lora changes transformer blocks, but no unlocked tower has any; unlock one, or leave out lora",
  );
  trainedParameters(config, run);
}
