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
import type { StatisticUpdate } from "../nn/norms.ts";
import { captionTargets, clipLoss } from "./losses.ts";

/** Outputs of a program by name. */
export type Program = Readonly<Record<string, Tensor>>;

/** Prefixes of the names under which programs take and give tensors of parameters. */
export const prefixes = { gradient: "gradient.", sum: "sum.", statistic: "statistic." } as const;

/** The parameters as inputs of a program, and the ones that are learned. */
interface Inputs {
  readonly parameters: Clip;
  readonly learned: ReadonlyMap<string, Tensor>;
  readonly pathOf: ReadonlyMap<Tensor, string>;
}

/**
 * A whole step in one graph: `loss` of N pairs, `gradient.<path>` for each learned parameter, `squaredNorm` of all
 * gradients, `statistic.<path>` for the running statistics.
 */
export function stepProgram(config: ClipConfig, batchSize: number, options: TowerOptions): Program {
  const inputs = parameterInputs(config);
  const updates: StatisticUpdate[] = [];
  const { imageFeatures, textFeatures } = features(config, inputs.parameters, batchSize, options, updates);
  const loss = batchLoss(imageFeatures, textFeatures, inputs.parameters.logitScale, batchSize);
  const dys = gradients(loss, [...inputs.learned.values()]);
  return { loss, ...namedGradients(inputs, dys), ...statistics(inputs, updates) };
}

/**
 * `imageFeatures` and `textFeatures` of a chunk of pairs, not normalised and without gradients: the first of three
 * graphs that make a large batch exact in the memory of a chunk (the feature cache of Gao et al. 2021).
 */
export function chunkFeaturesProgram(config: ClipConfig, chunkSize: number): Program {
  return features(config, parameterInputs(config).parameters, chunkSize, {}, []);
}

/**
 * The second: from the features of the whole batch, `loss`, its gradients at the features and `gradient.logitScale`.
 */
export function cachedLossProgram({ embedDim }: ClipConfig, batchSize: number): Program {
  const imageFeatures = input("imageFeatures", [batchSize, embedDim]);
  const textFeatures = input("textFeatures", [batchSize, embedDim]);
  const logitScale = input("logitScale", []);
  const loss = batchLoss(imageFeatures, textFeatures, logitScale, batchSize);
  const [dImage, dText, dScale] = gradients(loss, [imageFeatures, textFeatures, logitScale]);
  return { loss, imageGradient: dImage!, textGradient: dText!, [`${prefixes.gradient}logitScale`]: dScale! };
}

/**
 * The third, for each chunk: encodes it again and adds its share to the gradients so far, `sum.<path>` in,
 * `gradient.<path>` out; and `squaredNorm` of what has been summed, logitScale's left out.
 */
export function chunkGradientProgram(config: ClipConfig, chunkSize: number, options: TowerOptions): Program {
  const inputs = parameterInputs(config);
  const towers = new Map([...inputs.learned].filter(([path]) => path !== "logitScale"));
  const updates: StatisticUpdate[] = [];
  const { imageFeatures, textFeatures } = features(config, inputs.parameters, chunkSize, options, updates);
  const seeds = [input("imageGradient", imageFeatures.shape), input("textGradient", textFeatures.shape)] as const;
  // d loss = ⟨d loss / d features, d features⟩, with the first factor a constant
  const share = imageFeatures.mul(seeds[0]).sum().add(textFeatures.mul(seeds[1]).sum());
  const dys = gradients(share, [...towers.values()]).map((dy, i) =>
    dy.add(input(`${prefixes.sum}${[...towers.keys()][i]!}`, dy.shape)),
  );
  return { ...namedGradients({ ...inputs, learned: towers }, dys), ...statistics(inputs, updates) };
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

function parameterInputs(config: ClipConfig, only = ""): Inputs {
  const specs = parameterSpecs(config);
  const learned = new Map<string, Tensor>();
  const pathOf = new Map<Tensor, string>();
  const parameters = mapParameters(config, (path, { shape }) => {
    // What is not asked for is no input of the program: nothing that is reached uses it.
    const tensor = path.startsWith(only) ? input(path, shape) : scalar(0);
    pathOf.set(tensor, path);
    if (specs.get(path)!.trainable) learned.set(path, tensor);
    return tensor;
  });
  return { parameters, learned, pathOf };
}

function features(
  config: ClipConfig,
  parameters: Clip,
  pairs: number,
  options: TowerOptions,
  updates: StatisticUpdate[],
): { imageFeatures: Tensor; textFeatures: Tensor } {
  const { imageSize } = config.vision;
  const pixelValues = input("pixelValues", [pairs, 3, imageSize, imageSize]);
  return {
    imageFeatures: encodeImage(parameters, config, pixelValues, { ...options, updates }),
    textFeatures: encodeText(parameters, config, textInputs(pairs, config), options),
  };
}

function textInputs(texts: number | string, { text }: ClipConfig): { inputIds: Tensor; endOfText: Tensor } {
  return {
    inputIds: input("inputIds", [texts, text.contextLength], "int32"),
    endOfText: input("endOfText", [texts], "int32"),
  };
}

function batchLoss(imageFeatures: Tensor, textFeatures: Tensor, logitScale: Tensor, pairs: number): Tensor {
  const targets = captionTargets(input("captionGroup", [pairs], "int32"));
  return clipLoss(clipLogits(imageFeatures, textFeatures, { logitScale }).logitsPerImage, targets);
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
