import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, it } from "vitest";
import { ClipEncoder, collect, dot } from "../../src/model/embedding/encoder.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { readNpy } from "../../src/inputs/data/npy.ts";
import { initializeParameters } from "../../src/model/nn/parameters.ts";
import { clipParameters } from "../../src/model/towers/parameters.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { call } from "./call.ts";

let root: string;
let model: string;
let images: string;
beforeAll(async () => {
  root = await temporaryFolder();
  model = await saveTinyModel(join(root, "model"));
  images = join(root, "images");
  await mkdir(join(images, "more"), { recursive: true });
  for (const [i, name] of ["b.png", "a.png", "more/c.png", "more/d.png"].entries())
    await writeRandomImage(join(images, name), i);
  await writeFile(join(images, "more/broken.png"), "no image");
});

interface Row {
  readonly id: string;
  readonly embedding: number[];
}
const rowsOf = async (path: string) =>
  (await parquetReadObjects({ file: await asyncBufferFromFile(path) })) as unknown as Row[];

describe("clip-ts embed", () => {
  it("writes the vector of the image in the standard input, named by the checksum of its bytes", async () => {
    const out = join(root, "of-input");
    const input = await readFile(join(images, "a.png"));
    expect(await call(["embed", "-", "--out", out, "--model", model], { input })).toMatchObject({ code: 0 });
    const rows = await rowsOf(join(out, "00000.parquet"));
    expect(rows.map(({ id }) => id)).toEqual([`sha256:${createHash("sha256").update(input).digest("hex")}`]);
    await using encoder = new ClipEncoder(await readModel(model));
    const [wanted] = await collect(encoder.encodeImages([join(images, "a.png")]));
    expect(dot(Float32Array.from(rows[0]!.embedding), wanted!)).toBeCloseTo(1, 5);
  });

  it("writes no vector of a damaged model", async () => {
    const parameters = initializeParameters(clipParameters(tinyConfig), 1);
    parameters.get("vision.projection")!.data[0] = NaN;
    const damaged = await saveTinyModel(join(root, "damaged"), { parameters });
    const out = join(root, "of-damaged");
    const { code, err } = await call(["embed", images, "--out", out, "--model", damaged]);
    expect(code).toBe(1);
    expect(err).toMatch(/the vector of image \d+ \(.*\.png\) holds numbers that are not finite: .*weights are damaged/);
    expect(await readdir(out)).toEqual(["embed.json"]);
  });

  it("writes the encoder's vectors of a folder, named by their paths in it", async () => {
    const out = join(root, "of-folder");
    const { code, out: said, err } = await call(["embed", images, "--out", out, "--model", model, "--shard-size", "3"]);
    expect(code).toBe(0);
    expect(said).toBe(`${out}/00000.parquet  2 vectors, 1 skipped\n${out}/00001.parquet  2 vectors`);
    expect(err).toMatch(/^skipped: .*more\/broken\.png is text, not an image/);
    const rows = [...(await rowsOf(join(out, "00000.parquet"))), ...(await rowsOf(join(out, "00001.parquet")))];
    expect(rows.map(({ id }) => id)).toEqual(["a.png", "b.png", "more/c.png", "more/d.png"]);
    await using encoder = new ClipEncoder(await readModel(model));
    const wanted = await collect(encoder.encodeImages(rows.map(({ id }) => join(images, id))));
    for (const [i, { embedding }] of rows.entries()) {
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 6);
      embedding.forEach((value, at) => expect(value).toBeCloseTo(wanted[i]![at]!, 6));
    }
    const again = await call(["embed", images, "--out", out, "--model", model, "--shard-size", "3"]);
    expect(again).toEqual({ code: 0, out: `${out} has all vectors already`, err: "" });
  });

  it("writes those of shards and of a table, each image once", async () => {
    const shard = join(root, "web.tar");
    execFileSync("tar", ["-C", images, "-cf", shard, "a.png", "more/d.png"]);
    const ofShard = join(root, "of-shard");
    const { code, out } = await call(["embed", shard, "--out", ofShard, "--model", model, "--format", "npy", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      ...{ model, data: shard, skipped: [] },
      results: [{ path: join(ofShard, "00000.npy"), vectors: 2 }],
    });
    const ids = (await readFile(join(ofShard, "00000.ids.jsonl"), "utf8")).trimEnd().split("\n");
    expect(ids).toEqual(['"web.tar/a.png"', '"web.tar/more/d.png"']);

    const cut = join(root, "cut.tar");
    const { length } = await readFile(join(images, "a.png"));
    // Two headers, and a little of the second image.
    await writeFile(cut, (await readFile(shard)).subarray(0, 512 + 512 * Math.ceil(length / 512) + 512 + 9));
    const ofCut = join(root, "of-cut");
    const called = await call(["embed", cut, "--out", ofCut, "--model", model]);
    const reason = expect.stringMatching(/^the shard is cut or damaged; 1 image could be read, /) as string;
    expect(called).toMatchObject({ code: 0, out: `${ofCut}/00000.parquet  1 vector, 1 skipped` });
    expect(called.err).toMatch(/^skipped: cut\.tar: the shard is cut or damaged; /);
    expect(JSON.parse(await readFile(join(ofCut, "00000.skipped.jsonl"), "utf8"))).toEqual({
      image: "cut.tar",
      reason,
    });

    const table = join(root, "table.csv");
    await writeFile(table, "file,words\nimages/b.png,one\nimages/a.png,two\nimages/b.png,three\n");
    const ofTable = join(root, "of-table");
    await call(["embed", table, "--image-column", "file", "--out", ofTable, "--model", model]);
    const rows = await rowsOf(join(ofTable, "00000.parquet"));
    expect(rows.map(({ id }) => id)).toEqual(["images/b.png", "images/a.png"]);
    const { data } = await readNpy(join(ofShard, "00000.npy"));
    rows[1]!.embedding.forEach((value, at) => expect(value).toBeCloseTo(data[at]!, 6));
  });

  it("writes those of texts, each named by itself", async () => {
    const [file, out] = [join(root, "texts.txt"), join(root, "of-texts")];
    await writeFile(file, `a red apple\n\nthe blue sea\n${"a green tree ".repeat(20)}\n`);
    const { code, err } = await call(["embed", file, "--texts", "--out", out, "--model", model]);
    expect([code, err]).toEqual([0, "some texts are too long for the model and are cut"]);
    const rows = await rowsOf(join(out, "00000.parquet"));
    expect((await call(["embed", file, "--out", out, "--model", model])).err).toBe(
      `clip-ts embed: ${file} is a text file; to embed its lines add --texts`,
    );
    expect(rows.map(({ id }) => id.slice(0, 12))).toEqual(["a red apple", "the blue sea", "a green tree"]);
    await using encoder = new ClipEncoder(await readModel(model));
    const [apple] = await collect(encoder.encodeTexts(["a red apple"]));
    rows[0]!.embedding.forEach((value, at) => expect(value).toBeCloseTo(apple![at]!, 6));
  });

  it("says what is wrong with a source without images, and with a folder of another model's vectors", async () => {
    const empty = join(root, "empty");
    await mkdir(empty);
    const none = await call(["embed", empty, "--out", join(root, "of-empty"), "--model", model]);
    expect([none.code, none.err]).toEqual([
      1,
      `clip-ts embed: ${empty} holds no images: expected some, but there are none`,
    ]);
    const out = join(root, "of-two-models");
    await call(["embed", images, "--out", out, "--model", model]);
    const quantized = await call(["embed", images, "--out", out, "--model", model, "--dtype", "q8"]);
    expect(quantized.code).toBe(2);
    expect(quantized.err).toContain("holds vectors of another model");
  });
});
