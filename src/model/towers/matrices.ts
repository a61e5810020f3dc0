import { parameterSpecs } from "../nn/parameters.ts";
import type { ClipConfig } from "./config.ts";
import { clipParameters } from "./parameters.ts";

/** Not quantizable: queries are sliced from keys and values, and quantized kernels read whole matrices only. */
const readInParts = ["vision.projection.attn.qkv.weight"];

/** A tower's quantizable matrices: those of its linear layers. */
export function towerMatrices(config: ClipConfig, tower: "vision" | "text"): { path: string; transposed: boolean }[] {
  // A projection is [W, E]; linear layers are [out, in].
  const projection = `${tower}.projection`;
  return [...parameterSpecs(clipParameters(config))]
    .filter(([path, { shape }]) => path.startsWith(`${tower}.`) && shape.length === 2)
    .filter(([path]) => path === projection || (path.endsWith(".weight") && !readInParts.includes(path)))
    .map(([path]) => ({ path, transposed: path === projection }));
}
