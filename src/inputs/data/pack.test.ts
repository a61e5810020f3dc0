import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { packShards } from "./pack.ts";
import { readPairs } from "./pairs.ts";
import type { Sample } from "./sources/samples.ts";

const root = await temporaryFolder();
const samples: Sample[] = await Promise.all(
  Array.from({ length: 5 }, async (_, i) => ({
    image: await writeRandomImage(join(root, `${i}.png`), i),
    captions: [`caption ${i}`, "another"],
  })),
);

describe("packShards", () => {
  it("gives every pair a key of its own, whether anybody watches or not", async () => {
    for (const onProgress of [undefined, () => undefined]) {
      const folder = join(root, `shards ${onProgress !== undefined}`);
      const sizes: number[] = [];
      const pairs = { samples, skipped: [] };
      for await (const shard of packShards(pairs, folder, [], { shardSize: 2, onProgress })) sizes.push(shard.pairs);
      expect(sizes).toEqual([2, 2, 1]);
      const read = await readPairs(folder);
      expect(read.skipped).toEqual([]);
      expect(read.samples.map(({ captions }) => captions[0]).sort()).toEqual(
        samples.map(({ captions }) => captions[0]),
      );
    }
  });
});
