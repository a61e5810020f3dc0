import type { Tensor } from "../../engine/graph/tensor.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import type { ClipConfig } from "./config.ts";
import { type ModifiedResNet, modifiedResNet } from "./modified-resnet.ts";
import { type TowerOptions, type VisionTransformer, visionTransformer } from "./vision-transformer.ts";

/** Parameters of an image tower. */
export type ImageTower<Leaf = Tensor> = VisionTransformer<Leaf> | ModifiedResNet<Leaf>;

/** How an image tower is computed, beside its architecture. */
export interface ImageTowerOptions extends TowerOptions {
  /** Given in training: batch norm then uses the batch's statistics and collects the new running ones here. */
  readonly updates?: StatisticUpdate[] | undefined;
}

/** Outputs of an image tower. */
export interface ImageTowerOutput {
  /** [I, E], before they are brought to unit length. */
  readonly imageFeatures: Tensor;
  /**
   * [I, ·]: input of the tower's last linear layer, which the paper's linear probes read (Radford et al. 2021, section 3.2);
   * the features themselves where the pool ends in that layer (ResNet) or there is none (SigLIP).
   */
  readonly pooled: Tensor;
  /** [I, K, W] or a ResNet's channels: the tokens after the last norm, as far as they are computed. */
  readonly tokens: Tensor;
}

/** pixelValues [I, 3, S, S] through the image tower. */
export function imageTower(
  p: ImageTower,
  config: ClipConfig,
  pixelValues: Tensor,
  options: ImageTowerOptions = {},
): ImageTowerOutput {
  const { vision } = config;
  if (vision.kind === "vit") return visionTransformer(p as VisionTransformer, config, vision, pixelValues, options);
  const { imageFeatures, tokens } = modifiedResNet(p as ModifiedResNet, vision, pixelValues, options.updates);
  return { imageFeatures, pooled: imageFeatures, tokens };
}
