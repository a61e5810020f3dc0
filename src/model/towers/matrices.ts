import { parameterSpecs } from "../nn/parameters.ts";
import type { ClipConfig } from "./config.ts";
import { clipParameters } from "./parameters.ts";

/** Read in parts, queries apart from keys and values: no kernel for few bits reads half a matrix. */
const readInParts = ["vision.projection.attn.qkv.weight"];

/** The matrices of a tower's linear layers, which may be quantized; tables, norms, convolutions and biases stay as they are. */
export function towerMatrices(config: ClipConfig, tower: "vision" | "text"): { path: string; transposed: boolean }[] {
  // A projection is [W, E], where layers are [out, in].
  const projection = `${tower}.projection`;
  return [...parameterSpecs(clipParameters(config))]
    .filter(([path, { shape }]) => path.startsWith(`${tower}.`) && shape.length === 2)
    .filter(([path]) => path === projection || (path.endsWith(".weight") && !readInParts.includes(path)))
    .map(([path]) => ({ path, transposed: path === projection }));
}
