import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { float32 } from "../../src/core/tensor-data.ts";
import { saveLora } from "../../src/model/pretrained/save-lora.ts";
import { loadClip } from "../../src/index.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { call } from "./call.ts";

const seed = 20_261_129;
let root: string;
let model: string;
let lora: string;
let image: string;
beforeAll(async () => {
  root = await temporaryFolder();
  model = await saveTinyModel(join(root, "model"));
  image = await writeRandomImage(join(root, "image.png"), seed);
  lora = join(root, "lora");
  const random = new Random(seed);
  const { width } = tinyConfig.text;
  const matrix = (rows: number, columns: number) =>
    float32(
      Float32Array.from({ length: rows * columns }, () => random.normal()),
      [rows, columns],
    );
  const path = "text.blocks.0.attn.out.lora";
  await saveLora(
    lora,
    { rank: 2, alpha: 4 },
    new Map([
      [`${path}.down`, matrix(2, width)],
      [`${path}.up`, matrix(width, 2)],
    ]),
  );
});

it(`--lora adds changes of low rank to the model that a command loads (seed ${seed})`, async () => {
  const args = ["classify", image, "--labels", "red apple,green tree", "--model", model, "--json"];
  const labelsOf = ({ out }: { readonly out: string }) =>
    (JSON.parse(out) as { results: { labels: { label: string; probability: number }[] }[] }).results[0]!.labels;
  const [plain, changed] = [labelsOf(await call(args)), labelsOf(await call([...args, "--lora", lora]))];
  await using clip = await loadClip(model, { lora });
  const wanted = await clip.classify(image, ["red apple", "green tree"]);
  expect(changed.map(({ label }) => label)).toEqual(wanted.map(({ label }) => label));
  changed.forEach(({ probability }, i) => expect(probability).toBeCloseTo(wanted[i]!.probability, 6));
  const before = plain.find(({ label }) => label === wanted[0]!.label)!.probability;
  expect(Math.abs(before - wanted[0]!.probability)).toBeGreaterThan(1e-3);
});

it("--lora changes what a command embeds, and the vectors are another model's", async () => {
  const texts = join(root, "texts.txt");
  await writeFile(texts, "red apple\n");
  const args = ["embed", texts, "--texts", "--out", join(root, "vectors"), "--model", model];
  expect((await call([...args, "--lora", lora])).code).toBe(0);
  expect((await call(args)).err).toContain("holds vectors of another model");
});

it("--lora of another model is refused, with what does not fit", async () => {
  const { code, err } = await call([
    "classify",
    image,
    "--labels",
    "red apple",
    "--lora",
    lora,
    "--model",
    "pictograms",
  ]);
  expect(code).toBe(1);
  expect(err).toContain("does not fit");
  expect(err).toContain("text.blocks.0.attn.out.lora.down: the model and the rank need [2, 128], the file has [2, 32]");
});
