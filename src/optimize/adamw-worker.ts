import { discard } from "../runtime/discard.ts";
import { Moved, serve } from "../runtime/serve.ts";
import type { OptimizedParameter } from "./adamw.ts";
import { AdamwShard, type AdamwStep, type Moments } from "./adamw-shard.ts";

let shard: AdamwShard;

const methods = {
  async create(parameters: readonly OptimizedParameter[]): Promise<void> {
    shard = await AdamwShard.create(parameters);
  },
  step(step: AdamwStep, parameters: Map<string, Float32Array>, gradients: Map<string, Float32Array>) {
    shard.step(step, parameters, gradients);
    discard(gradients.values());
    return new Moved(parameters, parameters.values());
  },
  moments(): Moved<Moments> {
    const moments = shard.moments();
    return new Moved(
      moments,
      [...moments.values()].flatMap(({ first, second }) => [first, second]),
    );
  },
  restore: (moments: Moments): void => shard.restore(moments),
};

/** The calls that an optimiser's thread answers. */
export type AdamwMethods = typeof methods;

serve(methods);
