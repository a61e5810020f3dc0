import { existsSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { randomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig, tinyModel } from "../../../test/tiny-model.ts";
import { reduced, type Saved, SavedObject, type SavedTensor, torchFile } from "../../../test/torch-file.ts";
import { float32 } from "../../core/tensor-data.ts";
import { ClipEncoder, collect } from "../embedding/encoder.ts";
import { readModel } from "../pretrained/model-folder.ts";
import { weightsAmong } from "../hub/model-file-names.ts";
import { loadParameters, readParameter, transpose } from "./load.ts";
import { clipParameters } from "../towers/parameters.ts";
import { clipLayout, layouts } from "./names/layouts.ts";
import { saveParameters } from "./save.ts";
import { openWeightFile } from "./weight-file.ts";
import { writeSafetensors } from "./write-safetensors.ts";

const folder = await temporaryFolder();
let files = 0;
const save = async (bytes: Uint8Array, ending = "pt") => {
  const path = join(folder, `${files++}.${ending}`);
  await writeFile(path, bytes);
  return path;
};

const { parameters } = tinyModel();

/** The tiny model in OpenAI's names. */
const weights: Record<string, SavedTensor> = {};
for (const [path, { data, shape }] of parameters)
  for (const { name, transposed } of layouts.openAiVit.fromOurs(path))
    weights[name] = transposed ? { data: transpose(data, shape), shape: shape.toReversed() } : { data, shape };

const prefixed = (prefix: string) =>
  Object.fromEntries(Object.entries(weights).map(([name, value]) => [`${prefix}${name}`, value]));
const other = (value: number): Record<string, SavedTensor> =>
  Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [name, { shape, data: data.map(() => value) }]),
  );

async function expectTheModel(path: string): Promise<void> {
  const found = await loadParameters(path, clipParameters(tinyConfig));
  expect([...found.keys()].sort()).toEqual([...parameters.keys()].sort());
  const bytes = (data: Float32Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  for (const [name, { data }] of parameters)
    expect(bytes((await readParameter(found.get(name)!)).data).equals(bytes(data)), name).toBe(true);
}

const noise = {
  epoch: 3,
  loss: { data: Float32Array.of(0.5), shape: [] },
  optimizer: { state: { exp_avg: { data: Float32Array.of(1, 2), shape: [2] } }, param_groups: [] },
};

const prefixes = [
  ...["module.", "model.", "_orig_mod.", "clip.", "net.", "student.", "_forward_module.", "backbone.", "clip_model."],
  ...["module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module.", "model.clip.", "_fsdp_wrapped_module."],
  ...["_forward_module.model.net."],
];

describe.each(["zip", "legacy"] as const)("weights in PyTorch's files (%s)", (format) => {
  it.each([
    ...["state_dict", "model_state_dict", "model", "module", "ema", "net", "params", "model_ema", "ema_state_dict"],
    ...["anything", "student"],
  ])("load from under %s, with other entries beside them", async (wrapper) => {
    await expectTheModel(await save(await torchFile({ ...noise, [wrapper]: weights }, format)));
    await expectTheModel(await save(await torchFile({ [wrapper]: prefixed("module."), ...noise }, format)));
  });

  it("load from a tuple with other things", async () => {
    await expectTheModel(await save(await torchFile([weights, noise, 3], format)));
    await expectTheModel(await save(await torchFile({ checkpoint: [noise, [prefixed("module.")]] }, format)));
  });

  it.each(prefixes)("load with %s in front of their names", async (prefix) => {
    await expectTheModel(await save(await torchFile(prefixed(prefix), format)));
    await expectTheModel(await save(await torchFile({ ...noise, state_dict: prefixed(prefix) }, format)));
    await expectTheModel(await save(await torchFile({ checkpoint: { model: prefixed(prefix) } }, format)));
  });

  it("are the model's own, not the copies that training keeps beside it", async () => {
    for (const copy of ["ema", "model_ema", "teacher", "ref_model", "swa_state_dict", "ema_model_state_dict"]) {
      await expectTheModel(await save(await torchFile({ [copy]: other(2), state_dict: weights }, format)));
      const under = (prefix: string, of: Record<string, SavedTensor>) =>
        Object.fromEntries(Object.entries(of).map(([name, value]) => [`${prefix}.${name}`, value]));
      const beside = { ...under(copy, other(2)), ...under("student", weights) };
      await expectTheModel(await save(await torchFile({ state_dict: beside }, format)));
      await expectTheModel(await save(await torchFile({ ...under(copy, other(2)), ...weights }, format)));
    }
    const averaged = { n_averaged: { data: Float32Array.of(1), shape: [] }, ...prefixed("module.") };
    await expectTheModel(await save(await torchFile(averaged, format)));
  });

  it("with parts that were compiled or wrapped by themselves load", async () => {
    const names = Object.entries(weights).map(([name, value]): [string, SavedTensor] => [
      name.replace("visual.", "visual._orig_mod.").replace("transformer.", "transformer.module."),
      value,
    ]);
    await expectTheModel(await save(await torchFile(Object.fromEntries(names), format)));
  });

  it("of two models that are equals are refused with their names", async () => {
    const path = await save(await torchFile({ first: weights, second: other(2) }, format));
    await expect(openWeightFile(path)).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: `${path} holds several models, "first.", "second."; save the wanted one separately`,
    });
  });

  it.each<[string, Saved]>([
    ["torch.Size", reduced("torch", "Size", [[1, 2]])],
    ["arguments", new SavedObject("argparse", "Namespace", { lr: 1, model: "ViT-B-32" })],
    ["a scalar of numpy", reduced("numpy.core.multiarray", "scalar", [reduced("numpy", "dtype", ["f8", 0, 1]), "x"])],
    ["a path", reduced("pathlib", "PosixPath", ["/", "home", "me"])],
    ["a default dictionary", reduced("collections", "defaultdict", [Buffer.from("cbuiltins\nlist\n")])],
    ["a partial function", reduced("functools", "partial", [Buffer.from("ctorch\nrelu\n")])],
    ["a device", reduced("torch", "device", ["cuda", 0])],
    ["a dtype", Buffer.from("ctorch\nfloat16\n")],
    ["a configuration", new SavedObject("omegaconf.dictconfig", "DictConfig", { _content: { lr: 1 } })],
    ["an optimiser", new SavedObject("torch.optim.adamw", "AdamW", { state: {}, param_groups: [] })],
    ["a class of one's own", new SavedObject("__main__", "Config", { a: 1 })],
    ["a command", reduced("os", "system", ["touch executed"])],
    ["code", reduced("builtins", "eval", ["1"])],
  ])("load beside %s, which nothing runs", async (_, value) => {
    await expectTheModel(await save(await torchFile({ state_dict: weights, args: value, list: [value] }, format)));
    await expectTheModel(await save(await torchFile({ extra: { deep: value }, ...weights }, format)));
    await expect(stat("executed")).rejects.toThrow("ENOENT");
  });

  it("load beside tensors of numbers that no weights have", async () => {
    const complex = { shape: [1], data: Float32Array.of(1, 2), storage: "ComplexFloatStorage", elements: 1 };
    await expectTheModel(await save(await torchFile({ phases: complex, state_dict: weights, last: complex }, format)));
  });

  it("are refused where a tensor itself is such a value, with its name and whose it is", async () => {
    const sparse = reduced("torch._utils", "_rebuild_sparse_tensor", ["layout", ["indices", "values"]]);
    const path = await save(await torchFile({ state_dict: { ...weights, text_projection: sparse } }, format));
    const message = `${path} (OpenAI's names) does not fit the model; does it have another architecture?
  text.projection (text_projection): the file has no plain tensor, but a call of torch._utils._rebuild_sparse_tensor, which clip-ts does not execute`;
    await expect(loadParameters(path, clipParameters(tinyConfig))).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message,
    });
  });
});

it.each(["zip", "legacy"] as const)(
  "a module that was saved whole (%s) gives its tensors and runs nothing",
  async (format) => {
    interface Module {
      readonly parameters: Record<string, SavedTensor>;
      readonly modules: Record<string, Module>;
    }
    const empty = (): Module => ({ parameters: {}, modules: {} });
    const root = empty();
    for (const [name, value] of Object.entries(weights)) {
      const parts = name.split(".");
      const last = parts.pop()!;
      let module = root;
      for (const part of parts) module = module.modules[part] ??= empty();
      module.parameters[last] = value;
    }
    const saved = ({ parameters, modules }: Module): SavedObject =>
      new SavedObject("clip.model", "Part", {
        ...{ training: 0, _parameters: parameters, _buffers: {}, _hooks: new SavedObject("my", "Hooks", {}) },
        _modules: Object.fromEntries(Object.entries(modules).map(([name, module]) => [name, saved(module)])),
      });
    await expectTheModel(await save(await torchFile(saved(root), format)));
    await expectTheModel(await save(await torchFile({ epoch: 1, model: saved(root) }, format)));
    const { container } = await openWeightFile(await save(await torchFile(saved(root), format)));
    expect(container).toBe("stateDict");
  },
);

describe("weights of PyTorch's in several files", () => {
  const names = Object.keys(weights);
  const half = (from: number, to?: number) => Object.fromEntries(Object.entries(weights).slice(from, to));
  const shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"] as const;
  const spread = async (second = true) => {
    const place = join(folder, `shards-${files++}`);
    await mkdir(place);
    await writeFile(join(place, shards[0]), await torchFile(half(0, 10)));
    if (second) await writeFile(join(place, shards[1]), await torchFile(half(10), "legacy"));
    const weight_map = Object.fromEntries(names.map((name, i) => [name, shards[i < 10 ? 0 : 1]]));
    const index = join(place, "pytorch_model.bin.index.json");
    await writeFile(index, JSON.stringify({ metadata: {}, weight_map }));
    return { place, index };
  };

  it("load by their index, also as a folder", async () => {
    const { place, index } = await spread();
    await expectTheModel(index);
    await writeFile(join(place, "config.json"), JSON.stringify(tinyConfig));
    const model = await readModel(place);
    expect([...model.parameters.keys()].sort()).toEqual([...parameters.keys()].sort());
    expect(weightsAmong(await readdir(place))).toEqual(["pytorch_model.bin.index.json", ...shards]);
  });

  it("are refused where one is missing, with its name", async () => {
    const { index } = await spread(false);
    await expect(openWeightFile(index)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `${index} needs files that are not beside it: ${shards[1]}; download them`,
    });
  });
});

describe("weights in safetensors", () => {
  it.each(prefixes)("load with %s in front of their names", async (prefix) => {
    const path = join(folder, `${files++}.safetensors`);
    const rows = Object.entries(prefixed(prefix)).map(
      ([name, { data, shape }]) => [name, float32(data, shape)] as const,
    );
    await writeSafetensors(path, new Map(rows));
    await expectTheModel(path);
  });
});

describe("weights whose axes lie in another order", () => {
  // Channels last, as of a model in that memory format; of matrices rows and columns exchanged.
  const lying = (value: SavedTensor): SavedTensor => {
    const { shape } = value;
    const order = shape.length === 4 ? [0, 2, 3, 1] : shape.map((_, axis) => axis).reverse();
    const strides = shape.map((_, axis) =>
      order.slice(order.indexOf(axis) + 1).reduce((product, inner) => product * shape[inner]!, 1),
    );
    const data = new Float32Array(value.data.length);
    value.data.forEach((element, i) => {
      let [place, rest] = [0, i];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        place += (rest % shape[axis]!) * strides[axis]!;
        rest = Math.floor(rest / shape[axis]!);
      }
      data[place] = element;
    });
    return { shape, data, strides };
  };
  const turned = Object.fromEntries(Object.entries(weights).map(([name, value]) => [name, lying(value)]));

  it("load, are computed with and saved as those in order", async () => {
    const path = await save(await torchFile(turned));
    await expectTheModel(path);
    const config = join(await saveTinyModel(join(folder, `model-${files++}`)), "config.json");
    const embeds = async (model: string) => {
      await using encoder = new ClipEncoder(await readModel(model, { config }));
      const images = await collect(encoder.encodeImages([randomImage(1)]));
      return [...images, ...(await collect(encoder.encodeTexts(["a red apple"])))];
    };
    expect(await embeds(path)).toEqual(await embeds(await save(await torchFile(weights))));
    const saved = await save(Buffer.alloc(0), "safetensors");
    for (const layout of [layouts.ours, clipLayout("openai", tinyConfig), clipLayout("hf", tinyConfig)]) {
      await saveParameters(saved, await loadParameters(path, clipParameters(tinyConfig)), { layout });
      await expectTheModel(saved);
    }
  });
});

const cases = fileURLToPath(new URL("../../../../shared/cases/torch", import.meta.url));
describe.skipIf(!existsSync(cases))("weights that people had trouble with", () => {
  it.each(["model_state_dict", "torchsize", "namespace"])("%s", async (name) => {
    const { config, parameters: found } = await readModel(join(cases, name));
    expect(config.embedDim).toBe(48);
    expect(found.get("text.projection")!.shape).toEqual([64, 48]);
  });
});
