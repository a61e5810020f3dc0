import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { temporaryFolder } from "../../../../test/temporary-folder.ts";
import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import { readPairs } from "../pairs.ts";

/**
 * pq.write_table(pa.table({"image": ["a.jpg", "b.jpg"], "caption": ["one", "two"]}), path,
 *                compression="zstd", store_schema=False, use_dictionary=False)
 */
const ofPyarrow =
  "UEFSMRUAFTAVQiwVBBUAFQYVBhw2ACgFYi5qcGcYBWEuanBnEREAAAAotS/9IBjBAAACAAAABAEFAAAAYS5qcGcFAAAAYi5qcGcVABUoFTosFQ" +
  "QVABUGFQYcNgAoA3R3bxgDb25lEREAAAAotS/9IBShAAACAAAABAEDAAAAb25lAwAAAHR3bxUEGTw1ABgGc2NoZW1hFQQAFQwlAhgFaW1hZ2Ul" +
  "AEwcAAAAFQwlAhgHY2FwdGlvbiUATBwAAAAWBBkcGSwmABwVDBklBgAZGAVpbWFnZRUMFgQWehaMASYIPDYAKAViLmpwZxgFYS5qcGcREQAZHB" +
  "UAFQAVAgA8FhQZBhkmAAQAAAAmABwVDBklBgAZGAdjYXB0aW9uFQwWBBZqFnwmlAE8NgAoA3R3bxgDb25lEREAGRwVABUAFQIAPBYMGQYZJgAE" +
  "AAAAFuQBFgQmCBaIAgAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjUuMC4xGSwcAAAcAAAA+wAAAFBBUjE=";

let root: string;
beforeAll(async () => {
  root = await temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
  await writeFile(join(root, "a.jpg"), "");
});
afterAll(() => vi.unstubAllEnvs());

async function write(
  name: string,
  columnData: Parameters<typeof parquetWriteBuffer>[0]["columnData"],
  rowGroupSize = 2,
) {
  const path = join(root, name);
  await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize })));
  return path;
}

describe("a Parquet table", () => {
  it("gives paths relative to its folder and captions, over all groups of rows", async () => {
    const path = await write("paths.parquet", [
      { name: "id", data: [1, 2, 3] },
      { name: "filepath", data: ["a.jpg", "x/b.jpg", "c.jpg"], type: "STRING" },
      { name: "title", data: ["one", "eine Möwe", ""], type: "STRING" },
    ]);
    expect(await readPairs(path)).toEqual({
      samples: [
        { image: join(root, "a.jpg"), within: root, captions: ["one"] },
        { image: join(root, "x/b.jpg"), within: root, captions: ["eine Möwe"] },
      ],
      skipped: [{ image: join(root, "c.jpg"), reason: "its caption is empty" }],
    });
  });

  it("gives the images that are in it, from a shard that is written once", async () => {
    const images = [1, 2, 3].map((i) => Uint8Array.from({ length: 5000 * i }, (_, at) => 128 + ((at * i) % 128)));
    const path = await write("bytes.parquet", [
      { name: "image", data: images, type: "BYTE_ARRAY" },
      { name: "caption", data: ["one", "two\nlines", "three"], type: "STRING" },
    ]);
    const { samples, skipped } = await readPairs(path);
    expect(samples.map(({ image, captions }) => [image, captions])).toEqual([
      [`${path}/row-1.jpg`, ["one"]],
      [`${path}/row-2.jpg`, ["two lines"]],
      [`${path}/row-3.jpg`, ["three"]],
    ]);
    expect(skipped).toEqual([]);
    for (const [i, { bytes }] of samples.entries()) {
      const { file, offset, length } = bytes!;
      expect(new Uint8Array((await readFile(file)).subarray(offset, offset + length))).toEqual(images[i]);
    }
    expect((await readPairs(path)).samples).toEqual(samples);
    const templated = await readPairs(path, { classTemplates: ["a {}"] });
    expect(templated.samples.map(({ captions }) => captions)).toEqual([["a one"], ["a two lines"], ["a three"]]);
  });

  it("lists rows that cannot be used beside images inside, whenever it is read", async () => {
    const location = Uint8Array.from({ length: 600 }, (_, at) => 128 + (at % 128));
    const columns = (image: (Uint8Array | null)[], caption: unknown[]) => [
      { name: "image", data: image, type: "BYTE_ARRAY" as const, nullable: true },
      { name: "caption", data: caption, type: "JSON" as const },
    ];
    const five = [location, location, null, location, location];
    const path = await write("bad-rows.parquet", columns(five, ["one", { not: "text" }, "three", "four", "five"]));
    for (let times = 0; times < 2; times++) {
      const { samples, skipped } = await readPairs(path);
      expect(samples.map(({ image, captions }) => [image, captions])).toEqual([
        [`${path}/row-1.jpg`, ["one"]],
        [`${path}/row-4.jpg`, ["four"]],
        [`${path}/row-5.jpg`, ["five"]],
      ]);
      expect(skipped).toEqual([
        { image: `${path}, row 2`, reason: '"caption" must be a string or a list of strings' },
        { image: `${path}, row 3`, reason: '"image" holds no image' },
      ]);
    }
    const half = await write("half.parquet", columns([location, null], ["one", "two"]));
    await expect(readPairs(half)).rejects.toThrow(/row 2: "image" holds no image; 1 of 2 rows/);
  });

  it("gives synthetic captions, beside paths and beside images inside", async () => {
    const texts = [
      { name: "caption", data: ["one", "two"], type: "STRING" as const },
      { name: "synthetic", data: ["One. Uno!", ""], type: "STRING" as const },
    ];
    const paths = await write("synthetic.parquet", [
      { name: "image", data: ["a.jpg", "b.jpg"], type: "STRING" },
      ...texts,
    ]);
    const images = [1, 2].map((i) => Uint8Array.from({ length: 5000 }, (_, at) => 128 + ((at * i) % 128)));
    const bytes = await write("synthetic-bytes.parquet", [
      { name: "image", data: images, type: "BYTE_ARRAY" },
      ...texts,
    ]);
    for (const path of [paths, bytes]) {
      const { samples } = await readPairs(path, { synthetic: true });
      expect(samples.map(({ captions, synthetic }) => [captions, synthetic])).toEqual([
        [["one"], "One. Uno!"],
        [["two"], undefined],
      ]);
      for (const sample of (await readPairs(path)).samples) expect(sample).not.toHaveProperty("synthetic");
      await expect(readPairs(path, { synthetic: true, syntheticColumn: "x" })).rejects.toThrow(
        /no column "x"; it has "image", "caption", "synthetic"; set syntheticColumn/,
      );
    }
  });

  it("is read with the least and the largest value that pyarrow puts before each page", async () => {
    const path = join(root, "pyarrow.parquet");
    await writeFile(path, Buffer.from(ofPyarrow, "base64"));
    const { samples, skipped } = await readPairs(path);
    expect(samples.map(({ image, captions }) => [image, captions])).toEqual([
      [join(root, "a.jpg"), ["one"]],
      [join(root, "b.jpg"), ["two"]],
    ]);
    expect(skipped).toEqual([]);
    await writeFile(path, Buffer.concat([Buffer.from(ofPyarrow, "base64").subarray(0, -4), Buffer.from("PARE")]));
    await expect(readPairs(path)).rejects.toThrow(/it is encrypted; write it without$/);
  });

  it("has paths in Hugging Face's structures, where no bytes stand in them", async () => {
    const image = ["a.jpg", "b.jpg"].map((path) => ({ bytes: null, path }));
    const path = join(root, "structures.parquet");
    const schema: Parameters<typeof parquetWriteBuffer>[0]["schema"] = [
      { name: "root", num_children: 2 },
      { name: "image", num_children: 2, repetition_type: "OPTIONAL" },
      { name: "bytes", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
      { name: "path", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "caption", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
    ];
    const columnData = [
      { name: "image", data: image },
      { name: "caption", data: ["one", "two"] },
    ];
    await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, schema })));
    const { samples } = await readPairs(path);
    expect(samples.map(({ image, captions }) => [image, captions])).toEqual([
      [join(root, "a.jpg"), ["one"]],
      [join(root, "b.jpg"), ["two"]],
    ]);
  });

  it("is refused for a column that is missing, naming those there are", async () => {
    const path = await write("names.parquet", [
      { name: "file", data: ["a"] },
      { name: "text", data: ["b"] },
    ]);
    await expect(readPairs(path)).rejects.toThrow(/no column "image" or "path" or "filepath"; it has "file", "text"/);
    await expect(readPairs(path, { imageColumn: "file", captionColumn: "n" })).rejects.toThrow(/no column "n"; it has/);
  });

  it("is refused when it is cut or something else", async () => {
    const path = await write("whole.parquet", [
      { name: "image", data: ["a"] },
      { name: "caption", data: ["b"] },
    ]);
    const bytes = await readFile(path);
    for (const [name, content] of [
      ["cut", bytes.subarray(0, 60)],
      ["text", Buffer.from("image,caption\n")],
    ] as const) {
      const damaged = join(root, `${name}.parquet`);
      await writeFile(damaged, content);
      await expect(readPairs(damaged)).rejects.toMatchObject({
        code: "CLIP_DATA",
        message: expect.stringContaining(`${damaged} cannot be read as a Parquet table`) as string,
      });
    }
  });

  it("is read or refused in no time, naming the file, with any bytes changed", { timeout: 600_000 }, async () => {
    const seed = 20_261_201;
    const random = new Random(seed);
    const twenty = Array.from({ length: 20 }, (_, i) => i);
    const path = await write(
      "changed.parquet",
      [
        { name: "image", data: twenty.map(() => "a.jpg"), type: "STRING" },
        { name: "caption", data: twenty.map((i) => `caption ${i % 3}`), type: "STRING" },
      ],
      10,
    );
    const whole = await readFile(path);
    // The headers of a page that once led back, for ever.
    const changes = [[[44, 251]]];
    for (let i = 0; i < 600; i++)
      changes.push(
        Array.from({ length: 1 + (i % 3) }, () => [
          Math.floor(random.uniform() * whole.length),
          Math.floor(random.uniform() * 256),
        ]),
      );
    for (const changed of changes) {
      const bytes = Uint8Array.from(whole);
      for (const [at, value] of changed) bytes[at!] = value!;
      await writeFile(path, bytes);
      const error = await readPairs(path).catch((error: unknown) => error);
      const said = error instanceof ClipError ? error.message : error instanceof Error ? String(error.stack) : path;
      expect(said, `seed ${seed}, ${JSON.stringify(changed)}`).toContain(path);
    }
  });

  it("is read or refused, naming the file, with any damage in its metadata", async () => {
    const texts = Array.from({ length: 8 }, (_, i) => `an image of ${i}`);
    const path = await write("good.parquet", [
      { name: "id", data: texts.map((_, i) => i) },
      { name: "image", data: texts.map((_, i) => `${i}.jpg`), type: "STRING" },
      { name: "caption", data: texts, type: "STRING" },
    ]);
    await writeFile(join(root, "0.jpg"), "");
    const good = await readFile(path);
    const footer = good.readUInt32LE(good.length - 8) + 8;
    const seed = Date.now() % 1_000_000;
    console.log(`seed ${seed}`);
    const damagedFile = join(root, "damaged.parquet");
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      const random = new Random(seed, round);
      let bytes = Buffer.from(good);
      for (let i = 1 + random.integer(4); i > 0; i--)
        bytes[bytes.length - 1 - random.integer(footer)] = random.integer(256);
      if (round % 5 === 0) bytes = bytes.subarray(0, random.integer(bytes.length));
      await writeFile(damagedFile, bytes);
      const error = await readPairs(damagedFile).then(
        () => undefined,
        (error: unknown) => error as Error,
      );
      if (error === undefined) continue;
      refused++;
      expect(error, `round ${round}: ${error.stack}`).toBeInstanceOf(ClipError);
      expect(error.message).toContain(damagedFile);
    }
    expect(refused).toBeGreaterThan(100);
  });
});
