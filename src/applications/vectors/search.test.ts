import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { randomImage } from "../../../test/images.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder, collect } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { embed } from "./embed.ts";
import { readVectors, topK } from "./search.ts";

const root = await temporaryFolder();
const model = await readModel(await saveTinyModel(join(root, "model")));

it.each(["parquet", "npy"] as const)(
  "%s: the vectors read are the ones of the encoder, over several shards",
  async (format) => {
    await using encoder = new ClipEncoder(model);
    const texts = ["a red apple", "a green tree", "the blue sea", 'ç\n"quoted"', "the sun"];
    const out = join(root, format);
    const shards = await collect(embed(encoder, { texts }, { out, format, shardSize: 2 }));
    expect(shards.map(({ vectors }) => vectors)).toEqual([2, 2, 1]);
    const found = await collect(readVectors(out));
    expect(found.map(({ id }) => id)).toEqual(texts);
    const wanted = await collect(encoder.encodeTexts(texts));
    // Texts of other lengths share a batch here.
    found.forEach(({ vector }, i) => vector.forEach((value, at) => expect(value).toBeCloseTo(wanted[i]![at]!, 5)));
    expect(await collect(embed(encoder, { texts }, { out, format, shardSize: 2 }))).toEqual([]);
    await rm(join(out, `00001.${format}`));
    await expect(collect(readVectors(out))).rejects.toThrow(/00001\.\w+ is missing; call embed again/);
  },
);

it("embeds images by id, and lists the skipped ones", async () => {
  await using encoder = new ClipEncoder(model);
  const broken = { name: "broken", load: () => new Uint8Array(9) };
  const images = new Map<string, ReturnType<typeof randomImage> | typeof broken>([
    ["one", randomImage(1)],
    ["two", broken],
  ]);
  const out = join(root, "by-id");
  const [shard] = await collect(embed(encoder, { images }, { out }));
  expect([shard!.vectors, shard!.skipped.map(({ image }) => image)]).toEqual([1, ["two"]]);
  expect((await collect(readVectors(out))).map(({ id }) => id)).toEqual(["one"]);
});

it("refuses a folder without vectors", async () => {
  await expect(collect(readVectors(root))).rejects.toThrow("has no vectors; write some with embed");
  await writeFile(join(root, "embed.json"), "{}");
  await expect(collect(readVectors(root))).rejects.toThrow("does not describe a folder of vectors");
});

it("topK is the head of the sorted list, the first of equals first", async () => {
  const vectors = Array.from({ length: 40 }, (_, i) => ({
    id: String(i),
    vector: Float32Array.of(Math.cos(i % 7), Math.sin(i % 7)),
  }));
  const query = Float32Array.of(1, 0);
  const all = vectors
    .map(({ id, vector }) => ({ id, similarity: vector[0]! }))
    .sort((a, b) => b.similarity - a.similarity);
  for (const k of [1, 5, 40, 100]) expect(await topK(query, vectors, k)).toEqual(all.slice(0, k));
  await expect(topK(Float32Array.of(1), vectors, 1)).rejects.toThrow("of the same length");
});
