import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats, readIntegers } from "../../src/model/checkpoints/stored-tensor.ts";
import { readParameters, translateNames } from "../../src/model/checkpoints/load.ts";
import { int32, type TensorData } from "../../src/core/tensor-data.ts";
import { relativeError } from "../../src/learning/parity/compare.ts";
import { pooledPlaces } from "../../src/model/embedding/forward.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { Session } from "../../src/engine/runtime/session.ts";
import { prefixes, stepProgram } from "../../src/learning/train/step/programs.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { expectSameGradients } from "./training.ts";

const folder = `${sharedFolder}fixtures/siglip-tiny`;
const pairs = 4;

describe.skipIf(sharedMissing)(`a training step of a SigLIP${sharedMissing}`, () => {
  // Measured: gradients at most 5.6e-6 off.
  it("has the loss and the gradients of every parameter that PyTorch has", async () => {
    const { config, parameters } = await readModel(`${folder}/hf`);
    const inputs = (await openSafetensors(`${folder}/io.safetensors`)).tensors;
    const recorded = (await openSafetensors(`${folder}/grads.safetensors`)).tensors;
    const firstRows = ({ dtype, shape, data }: TensorData): TensorData => ({
      dtype,
      shape: [pairs, ...shape.slice(1)],
      data: data.slice(0, (data.length / shape[0]!) * pairs),
    });
    const inputIds = firstRows(await readIntegers(inputs.get("input_ids")!)) as TensorData<"int32">;
    await using session = await Session.compile(stepProgram(config, pairs, {}), { training: true });
    const results = await session.run({
      ...Object.fromEntries(await readParameters(parameters)),
      pixelValues: firstRows(await readFloats(inputs.get("pixel_values")!)),
      inputIds,
      endOfText: pooledPlaces(inputIds, config.text.pool),
      captionGroup: int32([0, 1, 2, 3], [pairs]),
    });
    const [wantedLoss] = (await readFloats(recorded.get("loss")!)).data;
    expect(relativeError(results["loss"]!.data as Float32Array, [wantedLoss!])).toBeLessThan(1e-5);

    const slopes = [...recorded].flatMap(([name, tensor]) =>
      name.startsWith("grad.") ? [[name.slice(5), tensor] as const] : [],
    );
    const wanted = await readParameters(translateNames(new Map(slopes), "grads.safetensors").parameters);
    const met = Object.entries(results).flatMap(([name, { data }]) =>
      name.startsWith(prefixes.gradient) ? [[name.slice(prefixes.gradient.length), data as Float32Array] as const] : [],
    );
    expectSameGradients(new Map(met), new Map(Array.from(wanted, ([path, { data }]) => [path, data])));
  });
});
