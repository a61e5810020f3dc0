import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { loadClip } from "../zero-shot/clip.ts";
import { collect, dot } from "../embedding/encoder.ts";
import { readModel } from "./model-folder.ts";
import { saveLora } from "./save-lora.ts";

const width = tinyConfig.text.width;
const matrix = (rows: number, columns: number): TensorData<"float32"> =>
  float32(
    Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i)),
    [rows, columns],
  );
const change = (rank: number) =>
  new Map([
    ["text.blocks.0.attn.out.lora.down", matrix(rank, width)],
    ["text.blocks.0.attn.out.lora.up", matrix(width, rank)],
  ]);

let root: string;
let model: string;
beforeAll(async () => {
  root = await temporaryFolder();
  model = await saveTinyModel(join(root, "model"));
});

describe("changes of low rank on load", () => {
  it("change what the model says, and only in the tower that they are of", async () => {
    const lora = join(root, "lora");
    await saveLora(lora, { rank: 2, alpha: 4 }, change(2));
    await using plain = await loadClip(model);
    await using tuned = await loadClip(model, { lora });
    const texts = ["a picture of a red apple"];
    const [[before], [after]] = [await collect(plain.encodeTexts(texts)), await collect(tuned.encodeTexts(texts))];
    expect(dot(before!, after!)).toBeLessThan(0.999);
    const { parameters } = await readModel(model, { lora });
    expect([...parameters].flatMap(([path, parameter]) => ("data" in parameter ? [path] : []))).toEqual([
      "text.blocks.0.attn.out.weight",
    ]);
  });

  it.each([
    ["of another rank", { rank: 3, alpha: 4 }, change(2), "the model and the rank need [3, 32], the file has [2, 32]"],
    [
      "of a matrix that is not there",
      { rank: 1, alpha: 1 },
      new Map([["text.blocks.7.attn.out.lora.down", matrix(1, width)]]),
      "text.blocks.7.attn.out.lora.down: the model has no such matrix",
    ],
    [
      "of which half is missing",
      { rank: 2, alpha: 1 },
      new Map([...change(2)].slice(1)),
      "text.blocks.0.attn.out.lora.up: its other half is missing",
    ],
    ["with nothing in them", { rank: 2, alpha: 1 }, new Map(), "does not fit"],
  ])("are refused %s", async (name, config, parameters, message) => {
    const lora = join(root, name);
    await saveLora(lora, config, parameters);
    await expect(readModel(model, { lora })).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringContaining(message) as string,
    });
  });

  it("are refused where the folder is none", async () => {
    await expect(readModel(model, { lora: root })).rejects.toMatchObject({ code: "CLIP_FILE" });
    const lora = join(root, "damaged");
    await saveLora(lora, { rank: 2, alpha: 1 }, change(2));
    await writeFile(join(lora, "lora.json"), '{"rank": 0}');
    await expect(readModel(model, { lora })).rejects.toMatchObject({ code: "CLIP_CONFIG" });
  });
});
