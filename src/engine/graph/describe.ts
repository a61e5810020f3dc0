import type { Tensor } from "./tensor.ts";

/** dtype, shape and name, for error messages. */
export function describe(tensor: Tensor): string {
  return `${tensor.dtype} [${tensor.shape.join(", ")}] ${tensor.name ?? `from ${tensor.op}`}`;
}
