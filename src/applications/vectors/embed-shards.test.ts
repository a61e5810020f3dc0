import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { readNpy } from "../../inputs/data/npy.ts";
import { type EmbeddedShard, type Embedding, type ShardOptions, embedShards } from "./embed-shards.ts";

let root: string;
let folders = 0;
beforeAll(async () => {
  root = await temporaryFolder();
});
const newFolder = () => join(root, `vectors-${folders++}`);

const names = ["a", "b.jpg", 'ç\n"d"', "e", "f", "g", "h"];
/** Numbers that float32 holds and text does not. */
const vectorOf = (name: string) => Float32Array.of(name.length, Math.PI * names.indexOf(name), 1 / 3);

/** Vectors by a rule, except of "e" and "f"; counts what is asked for. */
function embedding(items: readonly string[] = names, model = "M") {
  const encoded: string[] = [];
  const given: Embedding<string> = {
    ...{ items, idOf: (name) => name, embedDim: 3, model },
    async *encode(some, skip) {
      for (const name of some) {
        encoded.push(name);
        if (name === "e" || name === "f") skip({ image: name, reason: "it is no image" });
        else yield [name, await Promise.resolve(vectorOf(name))];
      }
    },
  };
  return { given, encoded };
}

const options = (out: string, change: Partial<ShardOptions> = {}): ShardOptions => ({
  ...{ out, format: "parquet", shardSize: 3 },
  ...change,
});

async function embed(given: Embedding<string>, asked: ShardOptions): Promise<EmbeddedShard[]> {
  const shards: EmbeddedShard[] = [];
  for await (const shard of embedShards(given, asked)) shards.push(shard);
  return shards;
}

async function readParquet(path: string) {
  const file = await asyncBufferFromFile(path);
  return { metadata: await parquetMetadataAsync(file), rows: await parquetReadObjects({ file }) };
}

describe("vectors in shards", () => {
  it("are columns of text and of lists of float32 in Parquet, as many rows as have a vector", async () => {
    const out = newFolder();
    const shards = await embed(embedding().given, options(out));
    expect(shards.map(({ path, vectors, skipped }) => [path, vectors, skipped.map(({ image }) => image)])).toEqual([
      [join(out, "00000.parquet"), 3, []],
      [join(out, "00001.parquet"), 1, ["e", "f"]],
      [join(out, "00002.parquet"), 1, []],
    ]);
    const { metadata, rows } = await readParquet(shards[0]!.path);
    expect(rows).toEqual(names.slice(0, 3).map((id) => ({ id, embedding: Array.from(vectorOf(id)) })));
    expect(metadata.schema.map(({ name, type, repetition_type }) => [name, type, repetition_type])).toEqual([
      ["root", undefined, undefined],
      ["id", "BYTE_ARRAY", "REQUIRED"],
      ["embedding", undefined, "REQUIRED"],
      ["list", undefined, "REPEATED"],
      ["element", "FLOAT", "REQUIRED"],
    ]);
    expect(await readFile(join(out, "00001.skipped.jsonl"), "utf8")).toBe(
      '{"image":"e","reason":"it is no image"}\n{"image":"f","reason":"it is no image"}\n',
    );
    expect((await readdir(out)).sort()).toEqual(
      ["00000.parquet", "00001.parquet", "00001.skipped.jsonl", "00002.parquet", "embed.json"].sort(),
    );
  });

  it("are an array and names beside it in npy", async () => {
    const out = newFolder();
    await embed(embedding().given, options(out, { format: "npy", shardSize: 10 }));
    const { shape, data } = await readNpy(join(out, "00000.npy"));
    const kept = names.filter((name) => name !== "e" && name !== "f");
    expect(shape).toEqual([5, 3]);
    expect(data).toEqual(Float32Array.from(kept.flatMap((name) => [...vectorOf(name)])));
    const ids = (await readFile(join(out, "00000.ids.jsonl"), "utf8")).trimEnd().split("\n");
    expect(ids.map((id) => JSON.parse(id) as string)).toEqual(kept);
  });

  it.each(["parquet", "npy"] as const)("are none where nothing could be encoded, in %s", async (format) => {
    const out = newFolder();
    const [shard] = await embed(embedding(["e", "f"]).given, options(out, { format }));
    expect(shard).toMatchObject({ vectors: 0, skipped: [{ image: "e" }, { image: "f" }] });
    if (format === "npy") expect((await readNpy(shard!.path)).shape).toEqual([0, 3]);
    else expect((await readParquet(shard!.path)).rows).toEqual([]);
  });

  it("go on with the shards that are missing, and come to the same bytes", async () => {
    const [unbroken, out] = [newFolder(), newFolder()];
    await embed(embedding().given, options(unbroken));
    const stop = new AbortController();
    const onProgress = (done: number) => void (done === 6 && stop.abort());
    const first = embedding();
    await expect(embed(first.given, options(out, { signal: stop.signal, onProgress }))).rejects.toThrow("aborted");
    expect(await readdir(out)).toEqual(["00000.parquet", "embed.json"]);
    // What a process that was killed left.
    await writeFile(join(out, "00001.parquet.77-0.tmp"), "half");

    const second = embedding();
    const told: number[] = [];
    const shards = await embed(second.given, options(out, { onProgress: (done) => told.push(done) }));
    expect(second.encoded).toEqual(names.slice(3));
    expect(shards.map(({ vectors }) => vectors)).toEqual([1, 1]);
    expect([told[0], told.at(-1)]).toEqual([3, 7]);
    expect((await readdir(out)).sort()).toEqual((await readdir(unbroken)).sort());
    for (const name of await readdir(unbroken))
      expect((await readFile(join(out, name))).equals(await readFile(join(unbroken, name))), name).toBe(true);
    expect(await embed(embedding().given, options(out))).toEqual([]);
  });

  it("are shared out among processes, each shard to one", async () => {
    const [unbroken, out] = [newFolder(), newFolder()];
    await embed(embedding().given, options(unbroken, { shardSize: 2 }));
    const ranks = [1, 0].map((rank) => ({ ...embedding(), asked: options(out, { shardSize: 2, rank, size: 2 }) }));
    for (const { given, asked } of ranks) await embed(given, asked);
    expect(ranks.map(({ encoded }) => encoded.join(""))).toEqual(['ç\n"d"eh', "ab.jpgfg"]);
    expect((await readdir(out)).sort()).toEqual((await readdir(unbroken)).sort());
  });

  it("are refused where others are, with the difference", async () => {
    const out = newFolder();
    await embed(embedding().given, options(out));
    const refusal = (given: Embedding<string>, change: Partial<ShardOptions> = {}) =>
      expect(embed(given, options(out, change))).rejects;
    const end = "; name another folder, or remove it";
    await refusal(embedding(names, "N").given).toThrow(`${out} holds vectors of another model${end}`);
    await refusal(embedding(names.toReversed()).given).toThrow(`of other items${end}`);
    await refusal(embedding(names.slice(1)).given).toThrow(`of another number of items (7, not 6)${end}`);
    await refusal(embedding().given, { format: "npy" }).toThrow(`in another format${end}`);
    await refusal(embedding().given, { shardSize: 4 }).toThrow(`in shards of another size (3, not 4)${end}`);
    await writeFile(join(out, "embed.json"), "{");
    await refusal(embedding().given).toThrow("does not describe a folder of vectors");
  });
});
