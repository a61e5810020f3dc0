import { z } from "zod";
import type { ClipConfig } from "../towers/config.ts";

/** A bounded size. Configs come from files, and a graph of the stated size is built. */
export const size = (max: number) => z.int().positive().max(max);

const transformer = {
  width: size(65_536),
  layers: size(1_000),
  heads: size(1_024),
  mlpWidth: size(1_048_576).optional(),
};
const activation = z.enum(["quickGelu", "gelu", "geluTanh"]);

/** Schema of {@link ClipConfig} in JSON: no unknown keys. For `parseStrict`, which reports every problem. */
export const clipConfigSchema = z.strictObject({
  embedDim: size(65_536),
  activation,
  layerNormEpsilon: z.number().positive().max(1).optional(),
  score: z.enum(["softmax", "sigmoid"]).optional(),
  vision: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("vit"),
      imageSize: size(8_192),
      patchSize: size(8_192),
      ...transformer,
      stem: z.enum(["patch", "convolutions"]).optional(),
      pool: z.enum(["class", "places", "probe"]).optional(),
      descriptors: z.boolean().optional(),
    }),
    z.strictObject({
      kind: z.literal("resnet"),
      imageSize: size(8_192),
      width: size(4_096),
      layers: z.array(size(1_000)).min(1).max(8),
      heads: size(1_024),
      norm: z.enum(["batch", "group"]),
    }),
  ]),
  text: z.strictObject({
    ...transformer,
    activation: activation.optional(),
    contextLength: size(65_536),
    vocabSize: size(10_000_000),
    causal: z.boolean().optional(),
    pool: z.enum(["endOfText", "last"]).optional(),
    projectionBias: z.boolean().optional(),
  }),
}) satisfies z.ZodType<ClipConfig>;
