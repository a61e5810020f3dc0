import { expect, it } from "vitest";
import type { Tensor } from "../../../engine/graph/tensor.ts";
import { type ClipConfig } from "../../../model/towers/config.ts";
import { parameterSpecs } from "../../../model/nn/parameters.ts";
import { clipParameters } from "../../../model/towers/parameters.ts";
import { stepProgram } from "./programs.ts";

const config: ClipConfig = {
  embedDim: 8,
  activation: "gelu",
  vision: { kind: "vit", imageSize: 8, patchSize: 4, width: 8, layers: 2, heads: 2 },
  text: { contextLength: 6, vocabSize: 12, width: 8, layers: 2, heads: 2 },
};

// ONNX Runtime computes first what is summed first: in another order all blocks are held, or computed again, at once.
it("sums the squares of the gradients in the order in which these are made", () => {
  const ids: number[] = [];
  let sum: Tensor = stepProgram(config, 2, { checkpointBlocks: true })["squaredNorm"]!;
  while (sum.op === "add") {
    const [rest, square] = sum.inputs as readonly [Tensor, Tensor];
    const product = square.op === "sum" ? square.inputs[0]! : square;
    ids.push(product.inputs[0]!.id);
    sum = rest;
  }
  expect(ids).toHaveLength(parameterSpecs(clipParameters(config)).size);
  expect(ids).toEqual(ids.toSorted((a, b) => b - a));
});
