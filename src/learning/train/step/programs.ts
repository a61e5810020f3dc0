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

/** The outputs of a program, by name. */
export type Program = Readonly<Record<string, Tensor>>;

/** Prefixes of input and output names, before a parameter's path. */
export const prefixes = { gradient: "gradient.", sum: "sum.", statistic: "statistic." } as const;

/** Names of the gradients of the loss at each kind of features. */
export const featureGradients = {
  imageFeatures: "imageGradient",
  textFeatures: "textGradient",
  syntheticFeatures: "syntheticGradient",
} as const;

/** The features of N pairs, [N, E] each: images, captions, and a sentence of each synthetic caption. */
type Features = Readonly<Record<"imageFeatures" | "textFeatures", Tensor>> & { readonly syntheticFeatures?: Tensor };

/** How a step is computed. */
export interface StepOptions extends Pick<TowerOptions, "checkpointBlocks"> {
  /** Paths of the trained parameters. Default: all trainable ones. */
  readonly trained?: ReadonlySet<string> | undefined;
  /** See {@link smoothTargets}; default 0. */
  readonly labelSmoothing?: number | undefined;
  /** Share of the patches that are dropped; the kept tokens are then an input, `keptTokens`. Default 0. */
  readonly patchDropout?: number | undefined;
  /** For batches with synthetic captions. */
  readonly objective?: SyntheticCaptionsObjective | undefined;
}

/** One process's pairs of a batch. */
export interface Share {
  readonly first: number;
  readonly count: number;
}

/** The parameters as inputs of a program, and the trained ones by path. */
interface Inputs {
  readonly parameters: Clip;
  readonly learned: ReadonlyMap<string, Tensor>;
  readonly pathOf: ReadonlyMap<Tensor, string>;
}

/**
 * A whole step in one graph. Outputs: `loss` of N pairs (with a decoder also its parts `contrastiveLoss` and `captionLoss`),
 * `imageSpread` and `textSpread`, `gradient.<path>` of each trained parameter, `squaredNorm` of all gradients,
 * `statistic.<path>` of the running statistics.
 */
export function stepProgram(config: ClipConfig, batchSize: number, options: StepOptions): Program {
  const inputs = withTrained(parameterInputs(config), options.trained);
  const updates: StatisticUpdate[] = [];
  const { ends, tokens } = encodePairs(config, inputs.parameters, batchSize, options, updates);
  const contrastive = contrastiveLoss(config, ends, inputs.parameters, { first: 0, count: batchSize }, options);
  const captions = decoderLoss(config, inputs.parameters, tokens, options);
  const loss = captions ? contrastive.add(captions.mul(options.objective!.decoderWeight)) : contrastive;
  const parts = captions && { contrastiveLoss: contrastive, captionLoss: captions };
  const dys = gradients(loss, [...inputs.learned.values()]);
  return { loss, ...parts, ...spreads(ends), ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/**
 * The features of a chunk of pairs, without gradients: the first of three graphs that compute a large batch exactly in the memory
 * of a chunk (the feature cache of Gao et al. 2021).
 */
export function chunkFeaturesProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  const towers = { ...config, decoder: undefined };
  const { parameters } = parameterInputs(towers);
  return { ...encodePairs(towers, parameters, chunkSize, { ...options, checkpointBlocks: false }, []).ends };
}

/**
 * The second graph: from the features of the whole batch, the contrastive `loss`, its gradients at the features and at logitScale
 * and logitBias, and `squaredNorm` of the latter two. For a share of the pairs, its share of these sums.
 */
export function cachedLossProgram(
  config: ClipConfig,
  batchSize: number,
  options: StepOptions,
  share: Share = { first: 0, count: batchSize },
): Program {
  const inputs = withTrained(parameterInputs(config), options.trained, (path) => !isOfTower(path));
  const names = featureNames(options);
  const inputOf = (name: string) => [name, input(name, [batchSize, config.embedDim])] as const;
  const ends = Object.fromEntries(names.map(inputOf)) as unknown as Features;
  const loss = contrastiveLoss(config, ends, inputs.parameters, share, options);
  const dys = gradients(loss, [...Object.values(ends), ...inputs.learned.values()]);
  const atFeatures = Object.fromEntries(names.map((name, i) => [featureGradients[name], dys[i]!]));
  return { loss, ...spreads(ends), ...atFeatures, ...namedGradients(inputs, dys.slice(names.length)) };
}

/** Spread of each tower's embeddings, 1 − ‖mean‖², in [0, 1]; 0 if all are equal. */
function spreads({ imageFeatures, textFeatures }: Features): Program {
  const spread = (features: Tensor) => l2Normalize(features).mean(0).square().sum().neg().add(1);
  return { imageSpread: spread(imageFeatures), textSpread: spread(textFeatures) };
}

/** Names of the features of a step. */
export function featureNames({ objective }: Pick<StepOptions, "objective">): (keyof typeof featureGradients)[] {
  return objective ? ["imageFeatures", "textFeatures", "syntheticFeatures"] : ["imageFeatures", "textFeatures"];
}

/** Whether a parameter belongs to a tower or the decoder: all but logitScale and logitBias. */
export function isOfTower(path: string): boolean {
  return path.includes(".");
}

/**
 * The third graph, for each chunk: encodes it again and adds its gradients to those of the chunks before, `sum.<path>` in,
 * `gradient.<path>` out, with `squaredNorm` of the sums. With a decoder also `captionLoss`, the chunk's share of the batch's.
 */
export function chunkGradientProgram(config: ClipConfig, chunkSize: number, options: StepOptions): Program {
  const inputs = withTrained(parameterInputs(config), options.trained, isOfTower);
  const updates: StatisticUpdate[] = [];
  const { ends, tokens } = encodePairs(config, inputs.parameters, chunkSize, options, updates);
  // With the first factor constant, ⟨d loss / d features, features⟩ has the same gradient as the loss.
  const shares = featureNames(options).map((name) => {
    const features = ends[name]!;
    return features.mul(input(featureGradients[name], features.shape)).sum();
  });
  // The decoder sees one image at a time, so the caption losses of chunks add up.
  const captions = decoderLoss(config, inputs.parameters, tokens, options);
  if (captions) shares.push(captions.mul(options.objective!.decoderWeight));
  const share = shares.reduce((sum, part) => sum.add(part));
  const paths = [...inputs.learned.keys()];
  const own = gradients(share, [...inputs.learned.values()]);
  const dys = own.map((dy, i) => dy.add(input(`${prefixes.sum}${paths[i]!}`, dy.shape)));
  const parts = captions && { captionLoss: captions };
  return { ...parts, ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/** `imageEmbeds` of any number of images, for validation. */
export function imageEmbedsProgram(config: ClipConfig): Program {
  const { vision } = parameterInputs(config, "vision").parameters;
  const pixelValues = input("pixelValues", ["images", 3, config.vision.imageSize, config.vision.imageSize]);
  return { imageEmbeds: encodeImage({ vision }, config, pixelValues) };
}

/** `textEmbeds` of any number of texts, for validation. */
export function textEmbedsProgram(config: ClipConfig): Program {
  const { text } = parameterInputs(config, "text").parameters;
  return { textEmbeds: encodeText({ text }, config, textInputs("texts", config)) };
}

function parameterInputs(config: ClipConfig, prefix = ""): Inputs {
  const specs = parameterSpecs(clipParameters(config));
  const learned = new Map<string, Tensor>();
  const pathOf = new Map<Tensor, string>();
  const parameters = mapParameters(clipParameters(config), (path, { shape }) => {
    // Parameters of the other tower are placeholders that nothing uses.
    const tensor = path.startsWith(prefix) ? input(path, shape) : scalar(0);
    pathOf.set(tensor, path);
    if (specs.get(path)!.trainable) learned.set(path, tensor);
    const lora = path.endsWith(".lora.down") ? config[path.split(".")[0] as "text"].lora : undefined;
    return lora ? tensor.mul(lora.alpha / lora.rank) : tensor;
  });
  return { parameters, learned, pathOf };
}

/** The same inputs with fewer trained parameters. */
function withTrained(inputs: Inputs, trained: StepOptions["trained"], isWanted?: (path: string) => boolean): Inputs {
  const learned = [...inputs.learned].filter(([path]) => (isWanted?.(path) ?? true) && (trained?.has(path) ?? true));
  return { ...inputs, learned: new Map(learned) };
}

/** The features of a batch or chunk, and the tokens that the decoder reads. */
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
  // A frozen tower computes as in inference, with its running statistics.
  const training = trained && isImageTowerLocked(trained) ? {} : { updates };
  const options = { checkpointBlocks, allTokens: config.decoder !== undefined };
  const images = imageTower(parameters.vision, config, pixelValues, { ...options, ...kept, ...training });
  // One pass for the captions and, after them, the sentences of the synthetic ones.
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

/** The contrastive loss of the pairs, or a share of it; with synthetic captions, the mean over both kinds of text. */
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

/** CLIP's or SigLIP's loss, by the model; pairs with equal captions match each other. */
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

/** The decoder's loss on these pairs' synthetic captions, as a share of the batch's mean over tokens; undefined without a decoder. */
function decoderLoss(
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
  // In creation order: ONNX Runtime computes the first summand first, and frees its inputs.
  const squaredNorm = dys.toSorted((a, b) => a.id - b.id).reduce((sum, dy) => sum.add(dy.square().sum()), scalar(0));
  const named = Object.fromEntries([...learned.keys()].map((path, i) => [`${prefixes.gradient}${path}`, dys[i]!]));
  return { squaredNorm, ...named };
}

function statistics({ pathOf }: Inputs, updates: readonly StatisticUpdate[]): Program {
  return Object.fromEntries(updates.map((update) => [`${prefixes.statistic}${pathOf.get(update.old)!}`, update.new]));
}
