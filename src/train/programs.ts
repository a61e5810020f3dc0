import { gradients } from "../autodiff/gradients.ts";
import { input, scalar, type Tensor } from "../graph/tensor.ts";
import {
  type Clip,
  type ClipConfig,
  clipLogits,
  encodeImage,
  encodeText,
  mapParameters,
  parameterSpecs,
  type TowerOptions,
} from "../models/index.ts";
import { l2Normalize } from "../nn/layers.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import { isImageTowerLocked } from "./trained-parameters.ts";
import {
  captionMatches,
  captionTargets,
  clipLoss,
  clipLossShare,
  siglipLoss,
  siglipLossShare,
  smoothTargets,
} from "./losses.ts";

/** Outputs of a program by name. */
export type Program = Readonly<Record<string, Tensor>>;

/** Prefixes of the names under which programs take and give tensors of parameters. */
export const prefixes = { gradient: "gradient.", sum: "sum.", statistic: "statistic." } as const;

/** How a step is computed. */
export interface StepOptions extends Pick<TowerOptions, "checkpointBlocks"> {
  /** The paths that are learned; default all that can be. */
  readonly trained?: ReadonlySet<string> | undefined;
  /** See {@link smoothTargets}; default 0. */
  readonly labelSmoothing?: number | undefined;
  /** Share of the patches that are left out: the pictures' other tokens are then an input, `keptTokens`. Default 0. */
  readonly patchDropout?: number | undefined;
}

/** The pairs of a batch that one of several processes has. */
export interface Share {
  readonly first: number;
  readonly count: number;
}

/** The parameters as inputs of a program, and the ones that are learned. */
interface Inputs {
  readonly parameters: Clip;
  readonly learned: ReadonlyMap<string, Tensor>;
  readonly pathOf: ReadonlyMap<Tensor, string>;
}

/**
 * A whole step in one graph: `loss` of N pairs, `imageSpread` and `textSpread` of their features, `gradient.<path>` for each learned parameter, `squaredNorm` of all
 * gradients, `statistic.<path>` for the running statistics.
 */
export function stepProgram(config: ClipConfig, batchSize: number, options: StepOptions): Program {
  const inputs = only(parameterInputs(config), options.trained);
  const updates: StatisticUpdate[] = [];
  const ends = features(config, inputs.parameters, batchSize, options, updates);
  const loss = batchLoss(config, ends, inputs.parameters, batchSize, options);
  const dys = gradients(loss, [...inputs.learned.values()]);
  return { loss, ...spreads(ends), ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/**
 * `imageFeatures` and `textFeatures` of a chunk of pairs, not normalised and without gradients: the first of three
 * graphs that make a large batch exact in the memory of a chunk (the feature cache of Gao et al. 2021).
 */
export function chunkFeaturesProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  return features(config, parameterInputs(config).parameters, chunkSize, { ...options, checkpointBlocks: false }, []);
}

/**
 * The second: from the features of the whole batch, `loss`, its gradients at the features, those of logitScale and
 * logitBias, and `squaredNorm` of the two; of some of the pairs what they bring into the loss, which together with the others is all of
 * these.
 */
export function cachedLossProgram(
  config: ClipConfig,
  batchSize: number,
  options: StepOptions,
  share: Share = { first: 0, count: batchSize },
): Program {
  const inputs = only(parameterInputs(config), options.trained, (path) => !isOfTower(path));
  const imageFeatures = input("imageFeatures", [batchSize, config.embedDim]);
  const textFeatures = input("textFeatures", [batchSize, config.embedDim]);
  const ends = { imageFeatures, textFeatures };
  const loss =
    share.count === batchSize
      ? batchLoss(config, ends, inputs.parameters, batchSize, options)
      : shareOfLoss(config, ends, inputs.parameters, share, options);
  const [imageGradient, textGradient, ...dys] = gradients(loss, [
    imageFeatures,
    textFeatures,
    ...inputs.learned.values(),
  ]);
  const atFeatures = { imageGradient: imageGradient!, textGradient: textGradient! };
  return { loss, ...spreads(ends), ...atFeatures, ...namedGradients(inputs, dys) };
}

/** How far each tower's unit vectors are from being one, [], in [0, 1]: 1 − ‖their mean‖². */
function spreads({ imageFeatures, textFeatures }: Readonly<Record<"imageFeatures" | "textFeatures", Tensor>>): Program {
  const spread = (features: Tensor) => l2Normalize(features).mean(0).square().sum().neg().add(1);
  return { imageSpread: spread(imageFeatures), textSpread: spread(textFeatures) };
}

/** Whether a parameter is one of a tower, not of the scores. */
export function isOfTower(path: string): boolean {
  return path.includes(".");
}

/**
 * The third, for each chunk: encodes it again and adds its share to the gradients so far, `sum.<path>` in,
 * `gradient.<path>` out; and `squaredNorm` of what has been summed.
 */
export function chunkGradientProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  const inputs = only(parameterInputs(config), options.trained, isOfTower);
  const updates: StatisticUpdate[] = [];
  const { imageFeatures, textFeatures } = features(config, inputs.parameters, chunkSize, options, updates);
  const seeds = [input("imageGradient", imageFeatures.shape), input("textGradient", textFeatures.shape)] as const;
  // d loss = ⟨d loss / d features, d features⟩, with the first factor a constant
  const share = imageFeatures.mul(seeds[0]).sum().add(textFeatures.mul(seeds[1]).sum());
  const paths = [...inputs.learned.keys()];
  const dys = gradients(share, [...inputs.learned.values()]).map((dy, i) =>
    dy.add(input(`${prefixes.sum}${paths[i]!}`, dy.shape)),
  );
  return { ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/** `imageFeatures` of any number of pictures: for validation, with the parameters of the moment. */
export function imageFeaturesProgram(config: ClipConfig): Program {
  const { vision } = parameterInputs(config, "vision").parameters;
  const pixelValues = input("pixelValues", ["images", 3, config.vision.imageSize, config.vision.imageSize]);
  return { imageFeatures: encodeImage({ vision }, config, pixelValues) };
}

/** `textFeatures` of any number of texts. */
export function textFeaturesProgram(config: ClipConfig): Program {
  const { text } = parameterInputs(config, "text").parameters;
  return { textFeatures: encodeText({ text }, config, textInputs("texts", config)) };
}

function parameterInputs(config: ClipConfig, prefix = ""): Inputs {
  const specs = parameterSpecs(config);
  const learned = new Map<string, Tensor>();
  const pathOf = new Map<Tensor, string>();
  const parameters = mapParameters(config, (path, { shape }) => {
    // What is not asked for is no input of the program: nothing that is reached uses it.
    const tensor = path.startsWith(prefix) ? input(path, shape) : scalar(0);
    pathOf.set(tensor, path);
    if (specs.get(path)!.trainable) learned.set(path, tensor);
    const lora = path.endsWith(".lora.down") ? config[path.split(".")[0] as "text"].lora : undefined;
    return lora ? tensor.mul(lora.alpha / lora.rank) : tensor;
  });
  return { parameters, learned, pathOf };
}

/** The same with fewer that are learned. */
function only(
  inputs: Inputs,
  trained: StepOptions["trained"],
  isWanted: (path: string) => boolean = () => true,
): Inputs {
  const learned = [...inputs.learned].filter(([path]) => isWanted(path) && (trained?.has(path) ?? true));
  return { ...inputs, learned: new Map(learned) };
}

/** How many of a picture's tokens a step sees: one patch at least, and the class token where there is one. */
export function keptTokens(config: ClipConfig, patchDropout: number): number {
  const { patches, others } = tokensOf(config);
  return others + Math.max(1, Math.round((1 - patchDropout) * patches));
}

/** A ViT's tokens of a picture: the class token, if there is one, and the patches behind it. */
export function tokensOf(config: ClipConfig): { readonly others: number; readonly patches: number } {
  const [tokens] = parameterSpecs(config).get("vision.positionalEmbedding")!.shape as [number];
  const others = parameterSpecs(config).has("vision.classEmbedding") ? 1 : 0;
  return { others, patches: tokens - others };
}

function features(
  config: ClipConfig,
  parameters: Clip,
  pairs: number,
  { trained, checkpointBlocks = false, patchDropout = 0 }: StepOptions,
  updates: StatisticUpdate[],
): { imageFeatures: Tensor; textFeatures: Tensor } {
  const { imageSize } = config.vision;
  const pixelValues = input("pixelValues", [pairs, 3, imageSize, imageSize]);
  const kept = patchDropout > 0 && {
    keptTokens: input("keptTokens", [pairs, keptTokens(config, patchDropout)], "int32"),
  };
  // A tower that stays as it is computes as in inference: with its running statistics, which stay too.
  const training = trained && isImageTowerLocked(trained) ? {} : { updates };
  return {
    imageFeatures: encodeImage(parameters, config, pixelValues, { checkpointBlocks, ...kept, ...training }),
    textFeatures: encodeText(parameters, config, textInputs(pairs, config), { checkpointBlocks }),
  };
}

function textInputs(texts: number | string, { text }: ClipConfig): { inputIds: Tensor; endOfText: Tensor } {
  return {
    inputIds: input("inputIds", [texts, text.contextLength], "int32"),
    endOfText: input("endOfText", [texts], "int32"),
  };
}

/** The loss that belongs to how the model scores; equal captions belong to each other's pictures. */
function batchLoss(
  { score }: ClipConfig,
  { imageFeatures, textFeatures }: Readonly<Record<"imageFeatures" | "textFeatures", Tensor>>,
  parameters: Pick<Clip, "logitScale" | "logitBias">,
  pairs: number,
  { labelSmoothing = 0 }: StepOptions,
): Tensor {
  const captionGroup = input("captionGroup", [pairs], "int32");
  const { logitsPerImage } = clipLogits(imageFeatures, textFeatures, parameters);
  return score === "sigmoid"
    ? siglipLoss(logitsPerImage, captionMatches(captionGroup))
    : clipLoss(logitsPerImage, smoothTargets(captionTargets(captionGroup), labelSmoothing));
}

/** What some pairs bring into {@link batchLoss}. */
function shareOfLoss(
  { score }: ClipConfig,
  { imageFeatures, textFeatures }: Readonly<Record<"imageFeatures" | "textFeatures", Tensor>>,
  parameters: Pick<Clip, "logitScale" | "logitBias">,
  { first, count }: Share,
  { labelSmoothing = 0 }: StepOptions,
): Tensor {
  const captionGroup = input("captionGroup", [imageFeatures.shape[0]!], "int32");
  const own = (rows: Tensor) => rows.slice(0, first, count);
  const { logitsPerImage } = clipLogits(own(imageFeatures), textFeatures, parameters);
  if (score === "sigmoid") return siglipLossShare(logitsPerImage, captionMatches(captionGroup, own(captionGroup)));
  const { logitsPerText } = clipLogits(imageFeatures, own(textFeatures), parameters);
  const targets = captionTargets(captionGroup, own(captionGroup));
  return clipLossShare(logitsPerImage, logitsPerText, smoothTargets(targets, labelSmoothing));
}

function namedGradients({ learned }: Inputs, dys: readonly Tensor[]): Program {
  // In the order of making: what is summed first is computed first, and what it needs is given back.
  const squaredNorm = dys.toSorted((a, b) => a.id - b.id).reduce((sum, dy) => sum.add(dy.square().sum()), scalar(0));
  const named = Object.fromEntries([...learned.keys()].map((path, i) => [`${prefixes.gradient}${path}`, dys[i]!]));
  return { squaredNorm, ...named };
}

function statistics({ pathOf }: Inputs, updates: readonly StatisticUpdate[]): Program {
  return Object.fromEntries(updates.map((update) => [`${prefixes.statistic}${pathOf.get(update.old)!}`, update.new]));
}
