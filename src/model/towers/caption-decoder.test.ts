import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readSafetensorsFixture } from "../../../test/read-fixture.ts";
import { gradients } from "../../engine/autodiff/gradients.ts";
import { float32, int32, type TensorData } from "../../core/tensor-data.ts";
import { relativeError } from "../../learning/parity/compare.ts";
import { input, type Tensor } from "../../engine/graph/tensor.ts";
import { buildModel } from "../../engine/onnx/build.ts";
import { OrtSession } from "../../engine/runtime/ort-session.ts";
import { captionLoss } from "../../learning/train/step/losses.ts";
import { decodeCaptions, isDecoderPath } from "./caption-decoder.ts";
import type { ClipConfig } from "./config.ts";
import { mapParameters } from "../nn/parameters.ts";
import { clipParameters } from "./parameters.ts";

/** What scripts/fixtures-towers.py has recorded: 3 pairs with 5 tokens of an image and 7 of a text. */
const recorded = readSafetensorsFixture(
  fileURLToPath(new URL("../../../fixtures/decoder/io.safetensors", import.meta.url)),
);
const read = (name: string) => recorded.get(name) as { shape: readonly number[]; values: Float32Array };

const config: ClipConfig = {
  embedDim: 8,
  activation: "gelu",
  vision: { kind: "vit", imageSize: 8, patchSize: 4, width: 24, layers: 1, heads: 2 },
  text: { contextLength: 7, vocabSize: 30, width: 16, layers: 2, heads: 2 },
  decoder: { length: 6 },
};

/** The decoder's parameters, and what it reads, as inputs by their recorded names. */
const inputs = new Map<string, Tensor>();
const asInput = (name: string) => {
  const tensor = input(name, read(name).shape);
  inputs.set(name, tensor);
  return tensor;
};
const tokens = { imageTokens: asInput("imageTokens"), textTokens: asInput("textTokens") };
const { decoder } = mapParameters(clipParameters(config), (path, { shape }) =>
  isDecoderPath(path) ? asInput(path) : input(path, shape),
);
const logits = decodeCaptions(decoder!, config, tokens);

/** Runs with what is recorded, but for these. */
async function run(outputs: Record<string, Tensor>, changed: Record<string, TensorData> = {}) {
  const session = await OrtSession.create(buildModel(outputs), { threads: 1 });
  const feeds = Object.fromEntries(
    session.inputs.map(({ name }) => [name, changed[name] ?? float32(read(name).values, read(name).shape)]),
  );
  const results = await session.run(feeds);
  await session.release();
  return new Map(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
}

describe("decodeCaptions", () => {
  // Measured: at most 1.1e-6.
  const ids = int32(recorded.get("writtenIds")!.values as Int32Array, [3, 6]);

  it("has PyTorch's logits and loss, and the gradients of every parameter and of what it reads", async () => {
    const loss = captionLoss(logits, input("writtenIds", [3, 6], "int32"), input("tokenWeights", [3, 6]));
    const dys = gradients(loss, [...inputs.values()]);
    const slopes = [...inputs.keys()].map((name, i) => [`grad.${name}`, dys[i]!] as const);
    const met = await run({ logits, loss, ...Object.fromEntries(slopes) }, { writtenIds: ids });
    expect([...met.keys()].filter((name) => name.startsWith("grad."))).toHaveLength(2 + 2 * 2 + 1 + 2 * 12 + 2 + 1);
    for (const [name, values] of met) expect(relativeError(values, read(name).values), name).toBeLessThan(1e-5);
  });

  it("writes at each place what the tokens, and the queries up to it, say, and no later one", async () => {
    const { shape, values } = read("decoder.queries");
    const changed = values.map((value, i) => (Math.floor(i / 16) === 3 ? -value : value));
    const [before, after] = [
      (await run({ logits })).get("logits")!,
      (await run({ logits }, { "decoder.queries": float32(changed, shape) })).get("logits")!,
    ];
    const places = Array.from({ length: 18 }, (_, place) =>
      relativeError(after.subarray(place * 30, (place + 1) * 30), before.subarray(place * 30, (place + 1) * 30)),
    );
    places.forEach((error, place) => {
      if (place % 6 < 3) expect(error).toBe(0);
      else expect(error).toBeGreaterThan(1e-3);
    });
  });

  it("gives the same when its blocks are computed again for the gradients", async () => {
    const loss = (of: Tensor) => captionLoss(of, input("writtenIds", [3, 6], "int32"), input("tokenWeights", [3, 6]));
    const again = decodeCaptions(decoder!, config, tokens, { checkpointBlocks: true });
    const [dx] = gradients(loss(again), [tokens.imageTokens]) as [Tensor];
    const met = await run({ dx }, { writtenIds: ids });
    expect(relativeError(met.get("dx")!, read("grad.imageTokens").values)).toBeLessThan(1e-5);
  });
});
