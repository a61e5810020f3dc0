import { discard } from "../threads/discard.ts";
import { Moved, serve } from "../threads/serve.ts";
import type { OptimizedParameter } from "./optimizer.ts";
import { AdamwPart, type AdamwStep, type Moment } from "./adamw-part.ts";

let part: AdamwPart;

const methods = {
  async create(parameters: readonly OptimizedParameter[]): Promise<void> {
    part = await AdamwPart.create(parameters);
  },
  step(step: AdamwStep, parameters: Map<string, Float32Array>, gradients: Map<string, Float32Array>) {
    part.step(step, parameters, gradients);
    discard(gradients.values());
    return new Moved(parameters, parameters.values());
  },
  read(moment: Moment, path: string): Moved<Float32Array> {
    const values = part.read(moment, path);
    return new Moved(values, [values]);
  },
  write: (moment: Moment, path: string, values: Float32Array): void => part.write(moment, path, values),
};

/** The calls that an AdamW thread answers. */
export type AdamwMethods = typeof methods;

serve(methods);
