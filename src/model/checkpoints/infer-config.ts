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
  const shapes = new KnownShapes(translateNames(tensors, path).parameters, path);
  if (!activation) {
    throw new ClipError(
      "CLIP_CONFIG",
      `${path} does not record its activation, and a wrong one silently lowers accuracy: ` +
        `name it by --activation: quickGelu (OpenAI's own models), gelu (most others) or geluTanh`,
    );
  }
  const isSiglip = shapes.has("vision.projection.probe");
  const isVit = isSiglip || shapes.has("vision.patchEmbedding");
  const projectionBias = shapes.has("text.projection.bias");
  return publishedHeads({
    embedDim: projectionBias ? shapes.size("text.projection.weight", 0) : shapes.size("text.projection", 1),
    activation,
    ...(isSiglip && { layerNormEpsilon: 1e-6 }),
    ...(shapes.has("logitBias") && { score: "sigmoid" }),
    vision: isVit ? inferVit(shapes, isSiglip) : inferResNet(shapes),
    text: {
      contextLength: shapes.size("text.positionalEmbedding", 0),
      vocabSize: shapes.size("text.tokenEmbedding", 0),
      ...inferTransformer(shapes, "text", shapes.size("text.tokenEmbedding", 1)),
      ...(projectionBias && { projectionBias }),
      // SigLIP's text tower, which its shapes do not show.
      ...(isSiglip && { causal: false, pool: "last" }),
    },
  });
}

/** The shapes of a file's parameters, by our names. */
class KnownShapes {
  readonly #parameters: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  readonly #path: string;

  constructor(parameters: ReadonlyMap<string, { readonly shape: readonly number[] }>, path: string) {
    this.#parameters = parameters;
    this.#path = path;
  }

  has(name: string): boolean {
    return this.#parameters.has(name);
  }

  size(name: string, axis: number): number {
    const size = this.#parameters.get(name)?.shape[axis];
    return size || this.#refuse(`${name} is missing or too small`);
  }

  /** The number of consecutive `prefix.0.suffix`, `prefix.1.suffix`, …. */
  count(prefix: string, suffix: string): number {
    let count = 0;
    while (this.has(`${prefix}.${count}.${suffix}`)) count++;
    return count;
  }

  /** The side of a square grid, from the length of a table that begins with a position for the class token or the mean. */
  gridSize(table: string): number {
    return Math.round(Math.sqrt(this.size(table, 0) - 1));
  }

  heads(width: number): number {
    if (width % headDim === 0) return width / headDim;
    return this.#refuse(
      `a width of ${width} is not a multiple of ${headDim}, so the number of heads is unknown; give a config`,
    );
  }

  #refuse(problem: string): never {
    throw new ClipError("CLIP_CHECKPOINT", `${this.#path} does not show its architecture: ${problem}`);
  }
}

function inferTransformer(shapes: KnownShapes, tower: "vision" | "text", width: number) {
  const mlpWidth = shapes.size(`${tower}.blocks.0.mlp.fc.weight`, 0);
  return {
    width,
    layers: shapes.count(`${tower}.blocks`, "attn.qkv.weight"),
    heads: shapes.heads(width),
    ...(mlpWidth !== 4 * width && { mlpWidth }),
  };
}

function inferVit(shapes: KnownShapes, isSiglip: boolean): VitConfig {
  const patches = isSiglip ? "vision.patchEmbedding.weight" : "vision.patchEmbedding";
  const positions = "vision.positionalEmbedding";
  const patchSize = shapes.size(patches, 3);
  const gridSize = isSiglip ? Math.round(Math.sqrt(shapes.size(positions, 0))) : shapes.gridSize(positions);
  return {
    kind: "vit",
    imageSize: patchSize * gridSize,
    patchSize,
    ...inferTransformer(shapes, "vision", shapes.size(patches, 0)),
    ...(isSiglip && { pool: "probe" }),
  };
}

function inferResNet(shapes: KnownShapes): ResNetConfig {
  const width = shapes.size("vision.stages.0.0.conv1.kernel", 0);
  const stages = shapes.count("vision.stages", "0.conv1.kernel");
  const reduction = 4 * 2 ** (stages - 1);
  return {
    kind: "resnet",
    imageSize: reduction * shapes.gridSize("vision.attentionPool.positionalEmbedding"),
    width,
    layers: Array.from({ length: stages }, (_, i) => shapes.count(`vision.stages.${i}`, "conv1.kernel")),
    heads: shapes.heads(width * reduction),
    norm: shapes.has("vision.stem.0.norm.runningMean") ? "batch" : "group",
  };
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
