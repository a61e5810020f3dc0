import { gradients } from "../../../engine/autodiff/gradients.ts";
import { input, scalar, type Tensor } from "../../../engine/graph/tensor.ts";
import { type Clip, clipLogits, encodeImage, encodeText } from "../../../model/towers/clip.ts";
import { imageTower } from "../../../model/towers/image-tower.ts";
import { type ClipConfig } from "../../../model/towers/config.ts";
import { decodeCaptions, type TowerTokens } from "../../../model/towers/caption-decoder.ts";
import { mapParameters, parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { textTransformer } from "../../../model/towers/text-transformer.ts";
import { type TowerOptions } from "../../../model/towers/vision-transformer.ts";
import { l2Normalize } from "../../../model/nn/layers.ts";
import type { StatisticUpdate } from "../../../model/nn/norms.ts";
import type { SyntheticCaptionsObjective } from "../batches/synthetic-captions.ts";
import { keptTokenCount } from "./patch-dropout.ts";
import { isImageTowerLocked } from "./trained-parameters.ts";
import {
  captionLoss,
  captionMatches,
  captionTargets,
  clipLoss,
  clipLossShare,
  siglipLossShare,
  smoothTargets,
} from "./losses.ts";

/** Outputs of a program by name. */
export type Program = Readonly<Record<string, Tensor>>;

/** Prefixes of the names under which programs take and give tensors of parameters. */
export const prefixes = { gradient: "gradient.", sum: "sum.", statistic: "statistic." } as const;

/** The features of a batch, and what the gradients of its loss at them are called. */
export const featureGradients = {
  imageFeatures: "imageGradient",
  textFeatures: "textGradient",
  syntheticFeatures: "syntheticGradient",
} as const;

/** The towers' features of N pairs, [N, E] each: of images, captions, and a sentence of each synthetic caption. */
type Features = Readonly<Record<"imageFeatures" | "textFeatures", Tensor>> & { readonly syntheticFeatures?: Tensor };

/** How a step is computed. */
export interface StepOptions extends Pick<TowerOptions, "checkpointBlocks"> {
  /** The paths that are learned; default all that can be. */
  readonly trained?: ReadonlySet<string> | undefined;
  /** See {@link smoothTargets}; default 0. */
  readonly labelSmoothing?: number | undefined;
  /** Share of the patches that are left out: the images' other tokens are then an input, `keptTokens`. Default 0. */
  readonly patchDropout?: number | undefined;
  /** Without it there are no synthetic captions. */
  readonly objective?: SyntheticCaptionsObjective | undefined;
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
 * A whole step in one graph: `loss` of N pairs, with a decoder also the `contrastiveLoss` and `captionLoss` that it is made of,
 * `imageSpread` and `textSpread` of their features, `gradient.<path>` for each learned parameter, `squaredNorm` of all gradients,
 * `statistic.<path>` for the running statistics.
 */
export function stepProgram(config: ClipConfig, batchSize: number, options: StepOptions): Program {
  const inputs = only(parameterInputs(config), options.trained);
  const updates: StatisticUpdate[] = [];
  const { ends, tokens } = encodePairs(config, inputs.parameters, batchSize, options, updates);
  const contrastive = contrastiveLoss(config, ends, inputs.parameters, { first: 0, count: batchSize }, options);
  const written = writtenLoss(config, inputs.parameters, tokens, options);
  const loss = written ? contrastive.add(written.mul(options.objective!.decoderWeight)) : contrastive;
  const parts = written && { contrastiveLoss: contrastive, captionLoss: written };
  const dys = gradients(loss, [...inputs.learned.values()]);
  return { loss, ...parts, ...spreads(ends), ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/**
 * The features of a chunk of pairs, not normalised and without gradients: the first of three graphs that make a large batch
 * exact in the memory of a chunk (the feature cache of Gao et al. 2021).
 */
export function chunkFeaturesProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  const towers = { ...config, decoder: undefined };
  const { parameters } = parameterInputs(towers);
  return { ...encodePairs(towers, parameters, chunkSize, { ...options, checkpointBlocks: false }, []).ends };
}

/**
 * The second: from the features of the whole batch, `loss` but for what a decoder adds, its gradients at the features, those of
 * logitScale and logitBias, and `squaredNorm` of the two; of some of the pairs what they bring into the loss, which together with the
 * others is all of these.
 */
export function cachedLossProgram(
  config: ClipConfig,
  batchSize: number,
  options: StepOptions,
  share: Share = { first: 0, count: batchSize },
): Program {
  const inputs = only(parameterInputs(config), options.trained, (path) => !isOfTower(path));
  const names = featureNames(options);
  const inputOf = (name: string) => [name, input(name, [batchSize, config.embedDim])] as const;
  const ends = Object.fromEntries(names.map(inputOf)) as unknown as Features;
  const loss = contrastiveLoss(config, ends, inputs.parameters, share, options);
  const dys = gradients(loss, [...Object.values(ends), ...inputs.learned.values()]);
  const atFeatures = Object.fromEntries(names.map((name, i) => [featureGradients[name], dys[i]!]));
  return { loss, ...spreads(ends), ...atFeatures, ...namedGradients(inputs, dys.slice(names.length)) };
}

/** How far each tower's unit vectors are from being one, [], in [0, 1]: 1 − ‖their mean‖². */
function spreads({ imageFeatures, textFeatures }: Features): Program {
  const spread = (features: Tensor) => l2Normalize(features).mean(0).square().sum().neg().add(1);
  return { imageSpread: spread(imageFeatures), textSpread: spread(textFeatures) };
}

/** The features that a step compares. */
export function featureNames({ objective }: Pick<StepOptions, "objective">): (keyof typeof featureGradients)[] {
  return objective ? ["imageFeatures", "textFeatures", "syntheticFeatures"] : ["imageFeatures", "textFeatures"];
}

/** Whether a parameter is one of a tower or the decoder, not of the scores. */
export function isOfTower(path: string): boolean {
  return path.includes(".");
}

/**
 * The third, for each chunk: encodes it again and adds its share to the gradients so far, `sum.<path>` in,
 * `gradient.<path>` out; and `squaredNorm` of what has been summed. With a decoder also `captionLoss`, the
 * chunk's part of the batch's.
 */
export function chunkGradientProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  const inputs = only(parameterInputs(config), options.trained, isOfTower);
  const updates: StatisticUpdate[] = [];
  const { ends, tokens } = encodePairs(config, inputs.parameters, chunkSize, options, updates);
  // d loss = ⟨d loss / d features, d features⟩, with the first factor a constant
  const shares = featureNames(options).map((name) => {
    const features = ends[name]!;
    return features.mul(input(featureGradients[name], features.shape)).sum();
  });
  // What is written of one image does not depend on the others: their losses add up.
  const written = writtenLoss(config, inputs.parameters, tokens, options);
  if (written) shares.push(written.mul(options.objective!.decoderWeight));
  const share = shares.reduce((sum, part) => sum.add(part));
  const paths = [...inputs.learned.keys()];
  const dys = gradients(share, [...inputs.learned.values()]).map((dy, i) =>
    dy.add(input(`${prefixes.sum}${paths[i]!}`, dy.shape)),
  );
  const parts = written && { captionLoss: written };
  return { ...parts, ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/** `imageEmbeds` of any number of images: for validation, with the parameters of the moment. */
export function imageEmbedsProgram(config: ClipConfig): Program {
  const { vision } = parameterInputs(config, "vision").parameters;
  const pixelValues = input("pixelValues", ["images", 3, config.vision.imageSize, config.vision.imageSize]);
  return { imageEmbeds: encodeImage({ vision }, config, pixelValues) };
}

/** `textEmbeds` of any number of texts. */
export function textEmbedsProgram(config: ClipConfig): Program {
  const { text } = parameterInputs(config, "text").parameters;
  return { textEmbeds: encodeText({ text }, config, textInputs("texts", config)) };
}

function parameterInputs(config: ClipConfig, prefix = ""): Inputs {
  const specs = parameterSpecs(clipParameters(config));
  const learned = new Map<string, Tensor>();
  const pathOf = new Map<Tensor, string>();
  const parameters = mapParameters(clipParameters(config), (path, { shape }) => {
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

/** The features of a batch or a chunk of it, and the tokens that a decoder reads. */
function encodePairs(
  config: ClipConfig,
  parameters: Clip,
  pairs: number,
  { trained, checkpointBlocks = false, patchDropout = 0, objective }: StepOptions,
  updates: StatisticUpdate[],
): { readonly ends: Features; readonly tokens: TowerTokens } {
  const { imageSize } = config.vision;
  const pixelValues = input("pixelValues", [pairs, 3, imageSize, imageSize]);
  const kept = patchDropout > 0 && {
    keptTokens: input("keptTokens", [pairs, keptTokenCount(config, patchDropout)], "int32"),
  };
  // A tower that stays as it is computes as in inference: with its running statistics, which stay too.
  const training = trained && isImageTowerLocked(trained) ? {} : { updates };
  const options = { checkpointBlocks, allTokens: config.decoder !== undefined };
  const images = imageTower(parameters.vision, config, pixelValues, { ...options, ...kept, ...training });
  // One pass for the captions and, behind them, the sentences of the synthetic ones.
  const { inputIds, endOfText } = textInputs(objective ? 2 * pairs : pairs, config);
  const texts = textTransformer(parameters.text, config, inputIds, endOfText, options);
  const textFeatures = texts.textFeatures.slice(0, 0, pairs);
  const synthetic = objective && { syntheticFeatures: texts.textFeatures.slice(0, pairs, pairs) };
  return {
    ends: { imageFeatures: images.imageFeatures, textFeatures, ...synthetic },
    tokens: { imageTokens: images.tokens, textTokens: texts.tokens.slice(0, 0, pairs) },
  };
}

function textInputs(texts: number | string, { text }: ClipConfig): { inputIds: Tensor; endOfText: Tensor } {
  return {
    inputIds: input("inputIds", [texts, text.contextLength], "int32"),
    endOfText: input("endOfText", [texts], "int32"),
  };
}

/**
 * How far images and texts are from finding each other, or what some of the pairs bring into that; where there are synthetic captions,
 * the mean of both kinds of text.
 */
function contrastiveLoss(
  config: ClipConfig,
  { imageFeatures, textFeatures, syntheticFeatures }: Features,
  parameters: Pick<Clip, "logitScale" | "logitBias">,
  share: Share,
  options: StepOptions,
): Tensor {
  const lossOf = (features: Tensor, group: string) =>
    pairsLoss(config, { imageFeatures, textFeatures: features }, group, parameters, share, options);
  const ofCaptions = lossOf(textFeatures, "captionGroup");
  return syntheticFeatures ? ofCaptions.add(lossOf(syntheticFeatures, "syntheticGroup")).mul(0.5) : ofCaptions;
}

/** The loss that belongs to how the model scores; equal captions belong to each other's images. */
function pairsLoss(
  { score }: ClipConfig,
  { imageFeatures, textFeatures }: Features,
  group: string,
  parameters: Pick<Clip, "logitScale" | "logitBias">,
  { first, count }: Share,
  { labelSmoothing = 0 }: StepOptions,
): Tensor {
  const [pairs] = imageFeatures.shape as readonly [number, number];
  const captionGroup = input(group, [pairs], "int32");
  const own = (rows: Tensor) => (count === pairs ? rows : rows.slice(0, first, count));
  const [imageEmbeds, textEmbeds] = [l2Normalize(imageFeatures), l2Normalize(textFeatures)];
  const logitsPerImage = clipLogits(parameters, own(imageEmbeds), textEmbeds);
  if (score === "sigmoid") return siglipLossShare(logitsPerImage, captionMatches(captionGroup, own(captionGroup)));
  const targets = smoothTargets(captionTargets(captionGroup, own(captionGroup)), labelSmoothing);
  if (count === pairs) return clipLoss(logitsPerImage, targets);
  const logitsPerText = clipLogits(parameters, imageEmbeds, own(textEmbeds)).T;
  return clipLossShare(logitsPerImage, logitsPerText, targets);
}

/** How far the decoder, if there is one, is from writing these pairs' synthetic captions: their part of the batch's mean over tokens. */
function writtenLoss(
  config: ClipConfig,
  { decoder }: Pick<Clip, "decoder">,
  tokens: TowerTokens,
  options: StepOptions,
): Tensor | undefined {
  if (!decoder) return undefined;
  const logits = decodeCaptions(decoder, config, tokens, options);
  const places = logits.shape.slice(0, 2);
  return captionLoss(logits, input("writtenIds", places, "int32"), input("tokenWeights", places));
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
