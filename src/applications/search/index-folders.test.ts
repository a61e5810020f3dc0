import { copyFile, mkdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder, collect } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import type { IndexSummary } from "./index-folders.ts";
import { openIndex, type SearchIndex } from "./search-index.ts";
import type { Item } from "./store.ts";

const root = await temporaryFolder();
const photos = join(root, "photos");
let encoder: ClipEncoder;
let index: SearchIndex;

beforeAll(async () => {
  encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
  index = await openIndex(join(root, "index"), encoder);
  await mkdir(join(photos, "trip"), { recursive: true });
  for (let i = 0; i < 6; i++) await writeRandomImage(join(photos, i < 3 ? "trip" : ".", `${i}.png`), i);
});
afterAll(async () => {
  await index[Symbol.asyncDispose]();
  await encoder.release();
});

const counts = ({ embedded, reused, unchanged, removed, unreadable }: IndexSummary) => ({
  ...{ embedded, reused, unchanged, removed },
  unreadable: unreadable.length,
});
const none = { embedded: 0, reused: 0, unchanged: 0, removed: 0, unreadable: 0 };
async function indexed(): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of index.store.items()) items.push(item);
  return items;
}
const names = async () =>
  (await indexed()).flatMap(({ path }) => (path.startsWith(`${photos}/`) ? path.slice(photos.length + 1) : []));

describe("indexing", () => {
  it("embeds all images of a folder, with their details", async () => {
    expect(counts(await index.add(photos))).toEqual({ ...none, embedded: 6 });
    expect(await names()).toEqual(["3.png", "4.png", "5.png", "trip/0.png", "trip/1.png", "trip/2.png"]);
    const [item] = await indexed();
    expect(item).toMatchObject({ kind: "image", hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    expect(item!.perceptualHash).toMatch(/^[0-9a-f]{16}$/);
    const [vector] = await collect(encoder.encodeImages([item!.path]));
    const [hit] = await index.store.search(vector!, { k: 1 });
    expect(hit!.item.path).toBe(item!.path);
    expect(hit!.similarity).toBeCloseTo(1, 5);
  });

  it("does nothing where nothing has changed", async () => {
    expect(counts(await index.add(photos))).toEqual({ ...none, unchanged: 6 });
  });

  it("embeds changed images, reuses renamed, copied and touched ones, and removes deleted ones", async () => {
    await writeRandomImage(join(photos, "3.png"), 33);
    await rename(join(photos, "4.png"), join(photos, "trip", "four.png"));
    await copyFile(join(photos, "5.png"), join(photos, "copy of 5.png"));
    await utimes(join(photos, "trip", "0.png"), new Date(), new Date());
    await rm(join(photos, "trip", "1.png"));
    expect(counts(await index.add(photos))).toEqual({ ...none, embedded: 1, reused: 3, unchanged: 2, removed: 2 });
    expect(await names()).toEqual([
      ...["3.png", "5.png", "copy of 5.png", "trip/0.png", "trip/2.png", "trip/four.png"],
    ]);
  });

  it("lists what it cannot read with the reason, and looks again only when it has changed", async () => {
    await writeFile(join(photos, "empty.jpg"), "");
    await writeFile(join(photos, "broken.png"), (await sharp(join(photos, "5.png")).png().toBuffer()).subarray(0, 200));
    await writeFile(join(photos, "notes.txt"), "no image");
    const summary = await index.add(photos);
    expect(counts(summary)).toEqual({ ...none, unchanged: 6, unreadable: 2 });
    expect(summary.unreadable.map(({ path }) => path.slice(photos.length + 1)).sort()).toEqual([
      "broken.png",
      "empty.jpg",
    ]);
    const again = await index.add(photos);
    expect(again.embedded).toBe(0);
    await writeRandomImage(join(photos, "broken.png"), 44);
    expect(counts(await index.add(photos))).toEqual({ ...none, embedded: 1, unchanged: 6, unreadable: 1 });
  });

  it("embeds camera raw files by their previews; one beside its JPEG is the same image", async () => {
    const raw = join(root, "raw");
    await mkdir(raw);
    const header = Buffer.from([
      0x49, 0x49, 0x2a, 0, 8, 0, 0, 0, 1, 0, 0x12, 0xc6, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    ]);
    const jpeg = await sharp(join(photos, "5.png")).flatten().jpeg().toBuffer();
    await writeFile(join(raw, "pair.jpg"), jpeg);
    await writeFile(join(raw, "pair.DNG"), Buffer.concat([header, jpeg]));
    await writeFile(join(raw, "alone.dng"), Buffer.concat([header, jpeg]));
    await writeFile(join(raw, "empty.dng"), header);
    const summary = await index.add(raw);
    expect(counts(summary)).toEqual({ ...none, embedded: 2, unreadable: 1 });
    expect(summary.unreadable[0]!.reason).toContain("a camera raw file without a preview");
  });

  it("leaves out what the patterns exclude, and takes it out of the index", async () => {
    expect(counts(await index.add(photos, { exclude: ["trip/", "copy*"] }))).toMatchObject({ removed: 4 });
    expect(await names()).toEqual(["3.png", "5.png", "broken.png"]);
    expect(counts(await index.add(photos))).toMatchObject({ embedded: 3, reused: 1 });
  });

  it("keeps the images of a drive that is not mounted", async () => {
    const away = join(root, "away");
    await rename(photos, away);
    expect((await index.add(photos)).offline).toEqual([photos]);
    await mkdir(photos);
    expect((await index.add(photos)).offline).toEqual([photos]);
    expect(await names()).toHaveLength(7);
    await rm(photos, { recursive: true });
    await rename(away, photos);
    expect(counts(await index.add(photos))).toMatchObject({ embedded: 0, unchanged: 7, removed: 0 });
    await expect(index.add(join(root, "never"))).rejects.toThrow("never cannot be read: it does not exist");
  });

  it("keeps what was embedded when it is stopped, and goes on", async () => {
    const many = join(root, "many");
    await mkdir(many);
    for (let i = 0; i < 100; i++) await writeRandomImage(join(many, `${i}.png`), 1000 + i);
    const stop = new AbortController();
    const onProgress = ({ done }: { done: number }) => done >= 20 && stop.abort();
    await expect(index.add(many, { signal: stop.signal, onProgress })).rejects.toThrow("aborted");
    const { embedded, unchanged } = await index.add(many);
    expect(unchanged).toBeGreaterThanOrEqual(20);
    expect(embedded + unchanged).toBe(100);
  });

  it("refuses a second process that changes the index", async () => {
    await using lock = await index.store.lock();
    expect(lock).toBeDefined();
    await expect(index.add(photos)).rejects.toThrow("another process is changing this index");
  });
});
