import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Database from "libsql";
import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { parseFilter } from "./filter.ts";
import { SqliteStore } from "./sqlite-store.ts";
import type { EmbeddedItem, Item, ModelFingerprint } from "./store.ts";

const seed = 20261201;
const root = await temporaryFolder();
const model: ModelFingerprint = { name: "test", checksum: "1", dim: 32 };
const random = new Random(seed, 0);

function unit(dim = model.dim): Float32Array {
  const vector = Float32Array.from({ length: dim }, () => random.normal());
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

const itemAt = (path: string, more: Partial<Item> = {}): Item => ({
  ...{ path, kind: "image", bytes: 1000, modified: 1.5, hash: path },
  ...more,
});
const embedded = (path: string, more: Partial<Item> = {}, vector = unit()): EmbeddedItem => ({
  item: itemAt(path, more),
  views: [{ vector }],
});
const open = (name: string, of = model) => SqliteStore.open(join(root, name), of);
const reopen = (name: string) => SqliteStore.open(join(root, name));
const all = async <Entry>(entries: AsyncIterable<Entry>): Promise<Entry[]> => {
  const list: Entry[] = [];
  for await (const entry of entries) list.push(entry);
  return list;
};

describe(`the SQLite store (seed ${seed})`, () => {
  it("keeps items and views as they were given, and finds them again after it was closed", async () => {
    const whole = embedded("/a/whole.jpg", {
      ...{ perceptualHash: "00ff", taken: "2024-05-01T12:30:00", camera: "X100", lens: "23mm", place: "Berlin" },
      ...{ latitude: 52.5, longitude: 13.4, width: 4000, height: 3000, rating: 5, description: "a dog" },
    });
    const video: EmbeddedItem = {
      item: itemAt("/a/b/v.mp4", { kind: "video", duration: 12.5 }),
      views: [
        { vector: unit(), time: [0, 1.5] },
        { vector: unit(), time: [1.5, 3], box: [0, 10, 360, 360] },
      ],
    };
    {
      await using store = await open("kept");
      await store.upsert([whole, video], [{ path: "/a/broken.jpg", bytes: 0, modified: 2, reason: "it is empty" }]);
    }
    await using store = await reopen("kept");
    expect(store.model).toEqual(model);
    expect(await all(store.items())).toEqual([video.item, whole.item]);
    expect(await all(store.unreadable())).toEqual([
      { path: "/a/broken.jpg", bytes: 0, modified: 2, reason: "it is empty" },
    ]);
    expect(await all(store.scan())).toEqual([
      { item: whole.item, ...whole.views[0] },
      ...video.views.map((view) => ({ item: video.item, ...view })),
    ]);
    expect(await store.withHash("/a/b/v.mp4")).toEqual(video);
    expect(await store.withHash("none")).toBeUndefined();
    expect(await store.counts()).toEqual({ items: 2, views: 3, unreadable: 1 });
    const [hit] = await store.search(video.views[1]!.vector, { k: 1 });
    expect(hit).toMatchObject({ ...video.views[1], item: video.item });
    expect(hit!.similarity).toBeCloseTo(1, 6);
  });

  it("replaces an item with the same path, and forgets removed ones", async () => {
    await using store = await open("replaced");
    const [first, second] = [embedded("/a.jpg"), embedded("/a.jpg")];
    await store.upsert([first, embedded("/b.jpg")]);
    await store.search(unit(), { k: 3 });
    await store.upsert([second]);
    expect((await store.search(second.views[0]!.vector, { k: 3 })).map(({ item }) => item.path)).toEqual([
      "/a.jpg",
      "/b.jpg",
    ]);
    await store.remove(["/a.jpg", "/never.jpg"]);
    expect((await store.search(second.views[0]!.vector, { k: 3 })).map(({ item }) => item.path)).toEqual(["/b.jpg"]);
    expect(await store.counts()).toEqual({ items: 1, views: 1, unreadable: 0 });
  });

  it("sees what another process has written", async () => {
    await using store = await open("shared");
    await using other = await open("shared");
    await store.upsert([embedded("/a.jpg")]);
    expect(await other.search(unit(), { k: 5 })).toHaveLength(1);
    await store.upsert([embedded("/b.jpg")]);
    expect(await other.search(unit(), { k: 5 })).toHaveLength(2);
  });

  it("searches the items that a filter chooses", async () => {
    await using store = await open("filtered");
    await store.upsert([
      embedded("/photos/2023/sea.jpg", { taken: "2023-07-01T10:00:00", camera: "X100", rating: 3 }),
      embedded("/photos/2024/sea.jpg", {
        taken: "2024-05-01T00:00:00",
        camera: "x100",
        latitude: 52.51,
        longitude: 13.4,
      }),
      embedded("/photos/screenshots/100%_a.png", { description: "A Dog", width: 800 }),
      embedded("/photos/old-screenshots/b.png", { latitude: -33.9, longitude: 151.2 }),
    ]);
    const found = async (text: string) =>
      (await store.search(unit(), { k: 10, where: parseFilter(text) })).map(({ item }) => item.path.slice(8)).sort();
    const [a, b, c, d] = ["2023/sea.jpg", "2024/sea.jpg", "screenshots/100%_a.png", "old-screenshots/b.png"];
    expect(await found("camera = X100")).toEqual([a, b]);
    expect(await found("not camera = X100")).toEqual([d, c]);
    expect(await found("camera != X100")).toEqual([d, c]);
    expect(await found("folder = screenshots")).toEqual([c]);
    expect(await found("folder = '/photos/2023'")).toEqual([a]);
    expect(await found("folder = photos/2023 or name = b.png")).toEqual([a, d]);
    expect(await found("name = '100%*'")).toEqual([c]);
    expect(await found("name ~ '%'")).toEqual([c]);
    expect(await found("description ~ dog")).toEqual([c]);
    expect(await found("taken = 2024")).toEqual([b]);
    expect(await found("taken < 2024-05-01")).toEqual([a]);
    expect(await found("taken <= 2024-05-01")).toEqual([a, b]);
    expect(await found("taken > 2024-05-01")).toEqual([]);
    expect(await found("taken is known and not taken in (2022, 2023)")).toEqual([b]);
    expect(await found("width >= 800 or rating in (3, 4)")).toEqual([a, c]);
    expect(await found("near(52.5, 13.4, 2km)")).toEqual([b]);
    expect(await found("near(52.5, 13.4, 1km)")).toEqual([]);
    expect(await found("near(52.5, 13.4, 30000km)")).toEqual([b, d]);
  });

  it("finds words of names and descriptions, whatever their accents", async () => {
    await using store = await open("words");
    await store.upsert([
      embedded("/x/Crème brûlée.jpg"),
      embedded("/x/2.jpg", { description: "дом у моря" }),
      embedded("/x/3.jpg", { description: 'a "quoted" OR dog' }),
    ]);
    const found = async (query: string) =>
      (await store.searchWords(query, unit(), { k: 10 })).map(({ item }) => item.path);
    expect(await found("creme")).toEqual(["/x/Crème brûlée.jpg"]);
    expect(await found("море моря")).toEqual([]);
    expect(await found("моря")).toEqual(["/x/2.jpg"]);
    expect(await found('dog" OR "quoted')).toEqual(["/x/3.jpg"]);
    expect(await found('"*')).toEqual([]);
  });

  it("refuses another model, a newer version, and a damaged database", async () => {
    await (await open("model"))[Symbol.asyncDispose]();
    await expect(open("model", { ...model, name: "other", checksum: "2" })).rejects.toThrow(
      /holds vectors of the model test, and this is other: .* use --model test/,
    );
    await expect(reopen("nothing")).rejects.toThrow("there is none, or its folder cannot be written");
    {
      await using store = await open("model");
      await expect(store.search(unit(8), { k: 1 })).rejects.toThrow("a vector has 8 numbers");
    }
    {
      const database = new Database(join(root, "model", "index.db"));
      database.pragma("user_version = 99");
      database.close();
    }
    await expect(open("model")).rejects.toThrow("was written by a newer version of clip-ts");
    await rm(join(root, "model", "index.db-wal"), { force: true });
    await writeFile(join(root, "model", "index.db"), "no database at all, but text".repeat(400));
    await expect(open("model")).rejects.toThrow("the database is damaged");
  });

  it("finds the same in segments as in memory, and rebuilds a damaged cache", async () => {
    const count = 20_000;
    const items = Array.from({ length: count }, (_, i) => embedded(`/${i}.jpg`));
    await using store = await open("large");
    await store.upsert(items);
    const query = unit();
    const cosine = ({ views: [view] }: EmbeddedItem) =>
      query.reduce((sum, value, i) => sum + value * view!.vector[i]!, 0);
    const expected = items
      .map((each) => ({ path: each.item.path, cosine: cosine(each) }))
      .sort((a, b) => b.cosine - a.cosine)
      .map(({ path }) => path);
    const found = async (of: SqliteStore) => (await of.search(query, { k: 20 })).map(({ item }) => item.path);
    expect(await found(store)).toEqual(expected.slice(0, 20));
    await store.remove(expected.slice(0, 3));
    expect(await found(store)).toEqual(expected.slice(3, 23));
    const cache = join(root, "large", "scan");
    const [segment] = await readdir(cache);
    await writeFile(join(cache, segment!), "damaged");
    await using again = await open("large");
    expect(await found(again)).toEqual(expected.slice(3, 23));
    expect(await readdir(cache)).toHaveLength(1);
  });
});
