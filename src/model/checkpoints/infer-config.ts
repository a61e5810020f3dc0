import { ClipError } from "../../core/errors.ts";
import { type ClipConfig, type ResNetConfig, type VitConfig } from "../towers/config.ts";
import { clipConfigs } from "../towers/configs.ts";
import { translateNames } from "./load.ts";
import type { StoredTensor } from "./stored-tensor.ts";

/** Head size, unless a published architecture of the same shapes has another. */
const headDim = 64;

/**
 * Infers the architecture from the shapes in a weight file, like OpenAI's `build_model`.
 *
 * @param tensors - under the names of any known layout.
 * @param activation - required: shapes do not show it, and a wrong one silently lowers accuracy.
 * @param path - the file, for messages.
 * @throws {ClipError} `CLIP_CONFIG` without an activation; `CLIP_CHECKPOINT` if a tensor with a needed size is missing.
 */
export function inferConfig(
  tensors: ReadonlyMap<string, StoredTensor>,
  activation: ClipConfig["activation"] | undefined,
  path: string,
): ClipConfig {
  const { parameters: ours } = translateNames(tensors, path);
  if (!activation) {
    throw new ClipError(
      "CLIP_CONFIG",
      `${path} does not record the model's activation, and a wrong one silently lowers accuracy; ` +
        `set --activation: quickGelu (OpenAI's own models), gelu (most others) or geluTanh`,
    );
  }
  const size = (name: string, axis: number): number => {
    const value = ours.get(name)?.shape[axis];
    if (value === undefined || value === 0)
      throw new ClipError("CLIP_CHECKPOINT", `cannot infer the architecture of ${path}: ${name} is missing or empty`);
    return value;
  };
  const count = (prefix: string, suffix: string) => {
    let n = 0;
    while (ours.has(`${prefix}.${n}.${suffix}`)) n++;
    return n;
  };
  const heads = (width: number): number => {
    if (width % headDim === 0) return width / headDim;
    const problem = `the number of heads is unknown, since the width ${width} is not a multiple of ${headDim}`;
    throw new ClipError("CLIP_CHECKPOINT", `cannot infer the architecture of ${path}: ${problem}; give a config`);
  };
  const isSiglip = ours.has("vision.projection.probe");
  const mlp = (tower: string, width: number) => {
    const mlpWidth = size(`${tower}.blocks.0.mlp.fc.weight`, 0);
    return mlpWidth === 4 * width ? {} : { mlpWidth };
  };
  /** From the rows of a positional embedding, whose first is the class token's or the mean's. */
  const gridSize = (table: string) => Math.round(Math.sqrt(size(table, 0) - 1));

  const vit = (): VitConfig => {
    const patches = isSiglip ? "vision.patchEmbedding.weight" : "vision.patchEmbedding";
    const [width, patchSize] = [size(patches, 0), size(patches, 3)];
    const places = isSiglip ? Math.sqrt(size("vision.positionalEmbedding", 0)) : gridSize("vision.positionalEmbedding");
    const layers = count("vision.blocks", "attn.qkv.weight");
    return {
      kind: "vit",
      imageSize: patchSize * Math.round(places),
      patchSize,
      ...{ width, layers, heads: heads(width), ...mlp("vision", width) },
      ...(isSiglip && { pool: "probe" }),
    };
  };
  const resNet = (): ResNetConfig => {
    const width = size("vision.stages.0.0.conv1.kernel", 0);
    const stages = count("vision.stages", "0.conv1.kernel");
    const layers = Array.from({ length: stages }, (_, i) => count(`vision.stages.${i}`, "conv1.kernel"));
    const reduction = 4 * 2 ** (stages - 1);
    return {
      kind: "resnet",
      imageSize: reduction * gridSize("vision.attentionPool.positionalEmbedding"),
      width,
      layers,
      heads: heads(width * reduction),
      norm: ours.has("vision.stem.0.norm.runningMean") ? "batch" : "group",
    };
  };
  const textWidth = size("text.tokenEmbedding", 1);
  const projectionBias = ours.has("text.projection.bias");
  const config: ClipConfig = {
    embedDim: projectionBias ? size("text.projection.weight", 0) : size("text.projection", 1),
    activation,
    ...(isSiglip && { layerNormEpsilon: 1e-6 }),
    ...(ours.has("logitBias") && { score: "sigmoid" }),
    vision: isSiglip || ours.has("vision.patchEmbedding") ? vit() : resNet(),
    text: {
      contextLength: size("text.positionalEmbedding", 0),
      vocabSize: size("text.tokenEmbedding", 0),
      width: textWidth,
      layers: count("text.blocks", "attn.qkv.weight"),
      heads: heads(textWidth),
      ...mlp("text", textWidth),
      ...(projectionBias && { projectionBias }),
      // SigLIP's settings that shapes do not show.
      ...(isSiglip && { causal: false, pool: "last" }),
    },
  };
  return publishedHeads(config);
}

/** The published architecture of the same shapes, if any: shapes show neither head sizes (ViT-H's is 80) nor unread border pixels. */
function publishedHeads(config: ClipConfig): ClipConfig {
  const shapes = ({ embedDim, vision, text }: ClipConfig) => {
    const grid = vision.kind === "vit" ? Math.floor(vision.imageSize / vision.patchSize) : vision.imageSize;
    const towers = [{ ...vision, imageSize: grid }, text];
    return JSON.stringify([embedDim, ...towers.map((tower) => Object.entries({ ...tower, heads: 0 }).sort())]);
  };
  const published = Object.values<ClipConfig>(clipConfigs).find((known) => shapes(known) === shapes(config));
  return published ? { ...published, activation: config.activation } : config;
}
