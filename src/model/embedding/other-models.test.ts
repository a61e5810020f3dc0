import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyModel } from "../../../test/tiny-model.ts";
import { torchFile } from "../../../test/torch-file.ts";
import { writeSafetensors } from "../checkpoints/write-safetensors.ts";
import { float32 } from "../../core/tensor-data.ts";
import { readModel } from "../pretrained/model-folder.ts";

const root = await temporaryFolder();
const own = await saveTinyModel(join(root, "own"));
const [config, weights] = await Promise.all(
  ["config.json", "model.safetensors"].map((name) => readFile(join(own, name))),
);
let folders = 0;

async function folderOf(files: Readonly<Record<string, object | string>>): Promise<string> {
  const folder = join(root, `model-${folders++}`);
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) {
    const isText = typeof content === "string" || content instanceof Uint8Array;
    await writeFile(join(folder, name), isText ? content : JSON.stringify(content));
  }
  return folder;
}

async function problemWith(path: string): Promise<string> {
  const options = path.includes(".") ? { config: join(own, "config.json") } : {};
  const error = await readModel(path, options).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ name: "ClipError" });
  return (error as Error).message;
}

const wayOut = "clip-ts needs both towers of a CLIP or SigLIP";

describe("a folder of another kind of model says what it is, in one line", () => {
  it.each<[string, object, string]>([
    [
      "timm's image model",
      { architecture: "vit_base", num_classes: 0 },
      "timm's image model vit_base without text tower",
    ],
    ["CLIPVisionModel", { model_type: "clip_vision_model" }, "a clip_vision_model without text tower"],
    ["CLIPTextModel", { model_type: "clip_text_model" }, "a clip_text_model without image tower"],
    ["SiglipVisionModel", { model_type: "siglip_vision_model" }, "a siglip_vision_model without text tower"],
    ["diffusers", { _class_name: "AutoencoderKL" }, "another kind of model, AutoencoderKL"],
    ["no type", { architectures: ["Some"] }, "another kind of model, Some"],
  ])("%s", async (_, json, what) => {
    const folder = await folderOf({ "config.json": json, "model.safetensors": weights! });
    expect(await problemWith(folder)).toBe(`${join(folder, "config.json")} belongs to ${what}; ${wayOut}`);
  });

  it.each(["dinov2", "blip", "llama"])("%s", async (type) => {
    const folder = await folderOf({ "config.json": { model_type: type }, "model.safetensors": weights! });
    expect(await problemWith(folder)).toMatch(/config\.json has model_type "\w+"; supported are clip and siglip .*$/);
  });

  it.each<[string, object, string]>([
    ["text", { model_cfg: { embed_dim: 16, vision_cfg: {} } }, "a text tower (text_cfg)"],
    ["text", { embed_dim: 16, vision_cfg: {}, text_cfg: null }, "a text tower (text_cfg)"],
    ["image", { model_cfg: { embed_dim: 16, text_cfg: {} } }, "an image tower (vision_cfg)"],
  ])("open_clip's without its %s tower", async (_, json, what) => {
    const folder = await folderOf({ "open_clip_config.json": json, "model.safetensors": weights! });
    const path = join(folder, "open_clip_config.json");
    expect(await problemWith(folder)).toBe(`${path} belongs to an open_clip model without ${what}; ${wayOut}`);
  });

  it.each([
    ["model_index.json", "a diffusers pipeline"],
    ["diffusion_pytorch_model.safetensors", "a part of a diffusers pipeline"],
    ["modules.json", "a sentence-transformers model"],
    ["adapter_config.json", "a PEFT adapter"],
  ])("without weights, with %s", async (name, what) => {
    const folder = await folderOf({ [name]: {} });
    expect(await problemWith(folder)).toMatch(new RegExp(`^\\S+ is ${what}; [^\n]+$`));
  });
});

describe("weights of one tower say which is missing", () => {
  it.each([
    ["text", ["cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight"]],
    ["text", ["vision_model.embeddings.class_embedding", "visual_projection.weight"]],
    ["text", ["visual.proj", "visual.conv1.weight"]],
    ["text", ["vision.projection"]],
    ["image", ["text_model.embeddings.token_embedding.weight", "text_projection.weight"]],
    ["image", ["token_embedding.weight", "transformer.resblocks.0.ln_1.weight"]],
    ["image", ["text.tokenEmbedding"]],
  ])("%s: %s", async (missing, names) => {
    const folder = await folderOf({ "config.json": config! });
    const path = join(folder, "model.safetensors");
    await writeSafetensors(path, new Map(names.map((name) => [name, float32([1], [1])])));
    expect(await problemWith(folder)).toBe(`${path} has no ${missing} tower; ${wayOut}`);
    // Nothing is asked about a model that cannot be read anyway.
    await expect(readModel(path)).rejects.toThrow(`${path} has no ${missing} tower; ${wayOut}`);
  });
});

const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 605157884\n`;

describe("what is no weights says what it is", () => {
  it.each<[string, string | Uint8Array, string]>([
    ["a pointer of Git LFS", pointer, 'is a Git LFS pointer, not the file; run "git lfs pull" in its folder'],
    ["a page", "<!DOCTYPE html>\n<html>Log in</html>", 'is text, not weights: "<!DOCTYPE html>"; download it again'],
    ["a page behind a blank line", "\n<html lang=en>", 'is text, not weights: "<html lang=en>"; download it again'],
    ["an answer", '{"error":"none"}', 'is text, not weights: "{"error":"none"}"; download it again'],
    ["GGUF", Buffer.from("GGUF\x03\0\0\0\0\0\0\0"), "is a GGUF file; clip-ts reads safetensors and PyTorch files"],
  ])("%s", async (_, content, problem) => {
    for (const name of ["model.safetensors", "model.pt", "model.onnx"]) {
      const path = join(await folderOf({ [name]: content }), name);
      expect(await problemWith(path)).toBe(`${path} ${problem}`);
    }
  });

  it("a pointer of Git LFS in the place of a text", async () => {
    for (const name of ["config.json", "model.safetensors.index.json"]) {
      const folder = await folderOf({ "config.json": config!, "model.safetensors": weights!, [name]: pointer });
      const path = name === "config.json" ? folder : join(folder, name);
      expect(await problemWith(path)).toBe(
        `${join(folder, name)} is a Git LFS pointer, not the file; run "git lfs pull" in its folder`,
      );
    }
  });

  it("half a file", async () => {
    const folder = await folderOf({
      "config.json": config!,
      "model.safetensors": weights!.subarray(0, weights!.length / 2),
    });
    expect(await problemWith(folder)).toMatch(/the rest is missing; download or save it again$/);
    const torch = await torchFile({ a: { shape: [100], data: new Float32Array(100) } });
    const path = join(await folderOf({ "half.pt": torch.subarray(0, torch.length / 2) }), "half.pt");
    expect(await problemWith(path)).toMatch(/half\.pt is not a valid PyTorch file: .*; download or save it again$/);
  });

  it("a checkpoint of an optimizer alone", async () => {
    const state = { exp_avg: { shape: [1], data: Float32Array.of(1) } };
    const path = join(await folderOf({ "a.ckpt": await torchFile({ optimizer: { state }, epoch: 3 }) }), "a.ckpt");
    expect(await problemWith(path)).toBe(`${path} holds no named tensors; give the file with the model's weights`);
  });
});

describe("numbers of few bits", () => {
  /** The tiny model's file, in which one tensor says that it is of another dtype of one byte. */
  async function withDtype(dtype: string): Promise<string> {
    const header = Object.fromEntries(
      [...tinyModel().parameters].map(([name, { shape }]) => [name, { dtype: "F32", shape, data_offsets: [0, 0] }]),
    );
    let end = 0;
    for (const [name, entry] of Object.entries(header)) {
      if (name === "text.projection") entry.dtype = dtype;
      const bytes = entry.shape.reduce((product, size) => product * size, entry.dtype === "F32" ? 4 : 1);
      entry.data_offsets = [end, (end += bytes)];
    }
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return folderOf({ "config.json": config!, "model.safetensors": Buffer.concat([length, json, Buffer.alloc(end)]) });
  }

  it.each([
    ["F8_E4M3", "text.projection: the file has F8_E4M3"],
    ["I8", "text.projection: the file has I8"],
    ["I4", '"text.projection" has dtype I4, which clip-ts cannot read'],
    ["F4", '"text.projection" has dtype F4, which clip-ts cannot read'],
  ])("%s", async (dtype, problem) => {
    const message = await problemWith(await withDtype(dtype));
    expect(message.endsWith(`${problem}; save the model as float16 or float32`)).toBe(true);
  });
});
