import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { findDuplicates } from "./duplicates.ts";
import { openIndex } from "./search-index.ts";
import { SqliteStore } from "./sqlite-store.ts";

const root = await temporaryFolder();

function scene(seed: number): Sharp {
  const random = new Random(seed, 1);
  const pixels = Buffer.from(Uint8Array.from({ length: 6 * 5 * 3 }, () => random.integer(256)));
  return sharp(pixels, { raw: { width: 6, height: 5, channels: 3 } }).resize(480, 360, { kernel: "cubic" });
}

describe("findDuplicates", () => {
  it("groups copies in other sizes and formats, suggests the sharpest, and leaves the others alone", async () => {
    const folder = join(root, "images");
    await mkdir(folder);
    for (let seed = 1; seed <= 5; seed++) {
      const original = await scene(seed).png().toBuffer();
      await writeFile(join(folder, `${seed}.png`), original);
      if (seed > 2) continue;
      await sharp(original)
        .resize(200, 150)
        .jpeg({ quality: 60 })
        .toFile(join(folder, `${seed} small.jpg`));
      await sharp(original)
        .blur(8)
        .png()
        .toFile(join(folder, `${seed} blurred.png`));
    }
    const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
    const index = await openIndex(join(root, "index"), encoder);
    await index.add(folder);
    const groups = await findDuplicates(index.store);
    const name = (path: string) => path.slice(folder.length + 1);
    expect(groups.map(({ items, best }) => [name(best), items.map(({ path }) => name(path))])).toEqual([
      ["1.png", ["1 blurred.png", "1 small.jpg", "1.png"]],
      ["2.png", ["2 blurred.png", "2 small.jpg", "2.png"]],
    ]);
    await index[Symbol.asyncDispose]();
    await encoder.release();
  });

  it("groups a burst by camera, time and likeness", async () => {
    await using store = await SqliteStore.open(join(root, "bursts"), { name: "test", checksum: "1", dim: 2 });
    const turned = (degrees: number) => {
      const angle = (degrees * Math.PI) / 180;
      return Float32Array.of(Math.cos(angle), Math.sin(angle));
    };
    const shot = (path: string, seconds: number, camera: string, degrees: number, hash: string) => ({
      item: {
        ...{ path, kind: "image" as const, bytes: 1, modified: 1, hash: path, perceptualHash: hash, camera },
        taken: `2024-05-01T12:00:${String(seconds).padStart(2, "0")}`,
      },
      views: [{ vector: turned(degrees) }],
    });
    await store.upsert([
      shot("/a", 0, "X", 0, "00000000ffffffff"),
      shot("/b", 8, "X", 10, "ffffffff00000000"),
      shot("/c", 30, "X", 10, "0f0f0f0f0f0f0f0f"),
      shot("/d", 9, "Y", 10, "f0f0f0f0f0f0f0f0"),
      shot("/e", 16, "X", 90, "3333333333333333"),
    ]);
    const [group, ...others] = await findDuplicates(store);
    expect([group!.items.map(({ path }) => path), others]).toEqual([["/a", "/b"], []]);
  });
});
