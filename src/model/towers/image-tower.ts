import { checkOptions, listOf, type OptionKinds, record } from "../../core/options.ts";
import type { Tensor } from "../../engine/graph/tensor.ts";
import type { StatisticUpdate } from "../nn/norms.ts";
import type { ClipConfig } from "./config.ts";
import { type ModifiedResNet, modifiedResNet } from "./modified-resnet.ts";
import { towerKinds, type TowerOptions, type VisionTransformer, visionTransformer } from "./vision-transformer.ts";

/** Parameters of an image tower. */
export type ImageTower<Leaf = Tensor> = VisionTransformer<Leaf> | ModifiedResNet<Leaf>;

/** The options of an image tower. */
export interface ImageTowerOptions extends TowerOptions {
  /** For training: batch norm uses the statistics of the batch and adds the new running ones here. */
  readonly updates?: StatisticUpdate[] | undefined;
}

const imageTowerKinds: OptionKinds<ImageTowerOptions> = { ...towerKinds, updates: listOf(record) };

/** Outputs of an image tower. */
export interface ImageTowerOutput {
  /** [I, E], not normalized. */
  readonly imageFeatures: Tensor;
  /**
   * [I, ·]: input of the tower's last linear layer, for linear probes (Radford et al. 2021, section 3.2); in a ResNet and in
   * SigLIP's tower the features themselves.
   */
  readonly pooled: Tensor;
  /** [I, K, W] after the last norm; those that were computed. Of a ResNet [I, G² + 1, C]. */
  readonly tokens: Tensor;
}

/** pixelValues [I, 3, S, S] through the image tower. */
export function imageTower(
  p: ImageTower,
  config: ClipConfig,
  pixelValues: Tensor,
  options: ImageTowerOptions = {},
): ImageTowerOutput {
  checkOptions("imageTower", options, imageTowerKinds);
  const { vision } = config;
  const { updates, ...tower } = options;
  if (vision.kind === "vit") return visionTransformer(p as VisionTransformer, config, vision, pixelValues, tower);
  const { imageFeatures, tokens } = modifiedResNet(p as ModifiedResNet, vision, pixelValues, updates);
  return { imageFeatures, pooled: imageFeatures, tokens };
}
