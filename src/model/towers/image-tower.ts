import type { Tensor } from "../../engine/graph/tensor.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import type { ClipConfig } from "./config.ts";
import { type ModifiedResNet, modifiedResNet } from "./modified-resnet.ts";
import { type TowerOptions, type VisionTransformer, visionTransformer } from "./vision-transformer.ts";

export type ImageTower<Leaf = Tensor> = VisionTransformer<Leaf> | ModifiedResNet<Leaf>;

export interface ImageTowerOptions extends TowerOptions {
  /** Given in training: batch norm uses the batch's statistics and appends the new running ones here. */
  readonly updates?: StatisticUpdate[] | undefined;
}

export interface ImageTowerOutput {
  /** [I, E], not normalized. */
  readonly imageFeatures: Tensor;
  /**
   * Input of the tower's last linear layer, [I, ·], used for linear probes (Radford et al. 2021, section 3.2). Equal to the
   * features if the pool contains that layer (ResNet) or there is none (SigLIP).
   */
  readonly pooled: Tensor;
  /** Computed tokens after the last norm, [I, K, W]; a ResNet's are [I, G² + 1, C]. */
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
