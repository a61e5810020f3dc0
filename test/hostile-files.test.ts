import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { mkdir, open, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openWeightFile } from "../src/model/checkpoints/weight-file.ts";
import { writeSafetensors } from "../src/model/checkpoints/write-safetensors.ts";
import { float32 } from "../src/core/tensor-data.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { findModelFiles } from "../src/model/pretrained/model-files.ts";
import { JsonTokenizer } from "../src/inputs/text/json-tokenizer.ts";
import { hostileFiles, readDamaged } from "./hostile-files.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { saveTinyModel, tinyModel } from "./tiny-model.ts";
import { legacyPickle } from "./torch-file.ts";

const root = await temporaryFolder();
const files = await hostileFiles(join(root, "files"));

/** Another part of what `scripts/fuzz-texts.ts` reads more of. */
const [seed, count] = [1_000_000, 60];

describe("damaged copies are read or refused, naming the file, within a second", () => {
  it.each(files.map((file) => [file.name, file] as const))(`%s, seed ${seed}`, async (_, file) => {
    const { refused, slowestMs } = await readDamaged(file, seed, count);
    // Some are refused, or the damage is none; a list of words may be anything.
    if (file.name !== "words.txt") expect(refused).toBeGreaterThan(count / 10);
    expect(slowestMs).toBeLessThan(1000);
  });
});

describe("sizes out of all proportion", () => {
  const own = { embedDim: 16, activation: "gelu" };
  const vision = { kind: "vit", imageSize: 32, patchSize: 16, width: 32, layers: 1, heads: 2 };
  const text = { contextLength: 24, vocabSize: 560, width: 32, layers: 1, heads: 2 };
  const write = async (name: string, config: string): Promise<string> => {
    const folder = join(root, name);
    await mkdir(folder);
    await writeFile(join(folder, "model.safetensors"), "");
    await writeFile(join(folder, "config.json"), config);
    return folder;
  };

  it.each<[string, object, RegExp]>([
    ["layers", { vision: { ...vision, layers: 1e9 } }, /vision\.layers: .*<=1000/],
    ["negative", { text: { ...text, width: -32 } }, /text\.width: .*>0/],
    ["fraction", { text: { ...text, heads: 1.5 } }, /text\.heads: .*expected int/],
    ["beyond", { vision: { ...vision, width: 2 ** 53 } }, /vision\.width: .*<=65536/],
    [
      "stages",
      { vision: { kind: "resnet", imageSize: 64, width: 8, heads: 4, norm: "batch", layers: Array(9).fill(1) } },
      /layers: .*<=8/,
    ],
    ["heads", { vision: { ...vision, heads: 3 } }, /config\.json: vision\.width 32 does not divide into 3 heads/],
    ["grid", { vision: { ...vision, patchSize: 5 } }, /config\.json: imageSize 32 does not divide into a whole grid/],
  ])("are refused before anything is made of that size: %s", async (name, change, message) => {
    const folder = await write(name, JSON.stringify({ ...own, vision, text, ...change }));
    await expect(findModelFiles(folder, {})).rejects.toMatchObject({
      code: "CLIP_CONFIG",
      message: expect.stringMatching(message) as string,
    });
  });

  it("and numbers that are none", async () => {
    const json = JSON.stringify({ ...own, vision, text });
    const infinite = await write("infinite", json.replace('"embedDim":16', '"embedDim":1e999'));
    await expect(findModelFiles(infinite, {})).rejects.toThrow(/embedDim: /);
    const deep = await write("deep", "[".repeat(1_000_000));
    await expect(findModelFiles(deep, {})).rejects.toThrow(/config\.json nests values more than 100 deep/);
  });

  it("of a file that is read whole: 5 GB are not read, a device without an end is not read", async () => {
    const folder = await write("large", "");
    await truncate(join(folder, "config.json"), 5e9);
    const before = process.memoryUsage().rss;
    await expect(readModel(folder)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `${join(folder, "config.json")} has more than 16 MiB, the limit for such a file; is it the right one?`,
    });
    const endless = join(root, "zero.json");
    await symlink("/dev/zero", endless);
    await expect(readModel(folder, { config: endless })).rejects.toThrow(/zero\.json is a device, not a file$/);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
    const file = await open(join(folder, "config.json"), "w");
    await file.close();
  });
});

describe("what is no file is refused at once", () => {
  const ways = async (path: string) => {
    const folder = join(root, `beside ${path.split("/").at(-1)}`);
    await mkdir(folder);
    await writeFile(join(folder, "model.safetensors"), "");
    return [
      () => readModel(path),
      () => readModel(path, { activation: "gelu" }),
      () => readModel(folder, { config: path }),
      () => openWeightFile(path),
    ];
  };

  it.skipIf(process.platform === "win32")("a named pipe", async () => {
    const pipe = join(root, "pipe");
    execFileSync("mkfifo", [pipe]);
    const [model, bare, config, weights] = await ways(pipe);
    for (const read of [model!, bare!, weights!])
      await expect(read()).rejects.toMatchObject({ code: "CLIP_FILE", message: `${pipe} is a named pipe, not a file` });
    // A shell's <(command) is a pipe too.
    await expect(config!()).rejects.toThrow(`cannot read ${pipe}: nothing writes to this pipe`);
  });

  it.skipIf(process.platform === "win32")("a socket, and a device", async () => {
    const socket = join(root, "socket");
    const server = createServer().listen(socket);
    for (const read of await ways(socket)) await expect(read()).rejects.toThrow(`${socket} is a socket, not a file`);
    server.close();
    for (const read of await ways("/dev/zero"))
      await expect(read()).rejects.toThrow("/dev/zero is a device, not a file");
  });
});

describe("headers of safetensors", () => {
  const withHeader = async (name: string, header: string): Promise<string> => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const path = join(root, `${name}.safetensors`);
    await writeFile(path, Buffer.concat([length, Buffer.from(header)]));
    return path;
  };
  const tensor = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';

  it.each([
    ["80 MB of brackets", () => "[".repeat(80_000_000), "nests values deeper than 3 levels"],
    ["millions of numbers", () => `{"a":[${"0,".repeat(20_000_000)}0]}`, "has more than 2000000 values"],
    ["the same name twice", () => `{"a":${tensor},"a":${tensor}}`, "has the same name twice"],
    ["a name written in two ways", () => `{"a":${tensor},"\\u0061":${tensor}}`, "has the same name twice"],
    ["a long name", () => `{"${"n".repeat(1e6)}":1}`, /the entry of "n{200}… \(1000000 characters\)" is wrong/],
  ])("of %s are refused in little memory", async (name, header, problem) => {
    const path = await withHeader(name, header());
    const before = process.memoryUsage().rss;
    await expect(openWeightFile(path)).rejects.toThrow(problem);
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
  });

  it("may have a tensor by the name of every object's prototype", async () => {
    const path = await withHeader("prototype", `{"__proto__":${tensor},"constructor":${tensor}}`);
    expect([...(await openWeightFile(path)).tensors.keys()]).toEqual(["__proto__", "constructor"]);
    expect({}).not.toHaveProperty("dtype");
  });

  it("with 130,000 tensors that no model has give a message that can be read", async () => {
    const own = await saveTinyModel(join(root, "many"));
    const weights = join(own, "model.safetensors");
    const { tensors } = await openWeightFile(weights);
    const many = new Map(tinyModel().parameters);
    for (let i = 0; i < 130_000; i++) many.set(`extra.${i}`, float32(new Float32Array(0), [0]));
    await writeSafetensors(weights, many);
    const error = await readModel(own).catch((cause: unknown) => cause as Error);
    expect(error).toMatchObject({ code: "CLIP_CHECKPOINT" });
    expect((error as Error).message).toMatch(/unknown to the model: extra\.0\n.*\n  and 129000 more$/s);
    expect((error as Error).message.length).toBeLessThan(100_000);
    expect(tensors.size).toBeGreaterThan(10);
  });
});

it("an archive of 600,000 entries is refused in little memory", { timeout: 60_000 }, async () => {
  const count = 600_000;
  const entries = Buffer.alloc(count * 54);
  for (let i = 0; i < count; i++) {
    const at = i * 54;
    entries.writeUInt32LE(0x02014b50, at);
    entries.writeUInt16LE(8, at + 28);
    entries.write(`a/data/${i % 10}`, at + 46);
  }
  const end = Buffer.alloc(22 + 56 + 20);
  // The record of large archives, where it lies, and the record of small ones.
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  for (const [value, at] of [
    [count, 24],
    [count, 32],
    [entries.length, 40],
    [4, 48],
  ] as const)
    end.writeBigUInt64LE(BigInt(value), at);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(4 + entries.length), 64);
  end.writeUInt32LE(1, 72);
  end.writeUInt32LE(0x06054b50, 76);
  end.fill(0xff, 84, 96);
  const path = join(root, "entries.pt");
  await writeFile(path, Buffer.concat([Buffer.from("PK\x03\x04"), entries, end]));
  const before = process.memoryUsage().rss;
  await expect(openWeightFile(path)).rejects.toThrow(/it has more than 100000 entries/);
  expect(process.memoryUsage().rss - before).toBeLessThan(700e6);
});

it.each([
  ["normalizer", { type: "Sequence", normalizers: Array(100_000).fill({ type: "Lowercase" }) }, "normalizers"],
  ["pre_tokenizer", { type: "Sequence", pretokenizers: Array(100_000).fill({ type: "Whitespace" }) }, "pretokenizers"],
  ["post_processor", { type: "TemplateProcessing", single: Array(100_000).fill({}) }, "single"],
])("a tokenizer.json with 100,000 steps is refused: %s", (part, step, place) => {
  const json = { [part]: step, added_tokens: [], model: { type: "BPE", vocab: { a: 0 }, merges: [] } };
  expect(() => new JsonTokenizer(json, { pad_token: "a" }, "none")).toThrow(
    new RegExp(`the tokenizer cannot be read: ${part}\\.${place}: Too big: .*<=256`),
  );
});

describe("lists of contents of zip archives that lie", () => {
  const name = "a/data.pkl";
  /** An archive of one entry whose list says so of it, and whose end says so of the list. */
  const archive = ({
    size = 4,
    offset = 0,
    extra = Buffer.alloc(0),
    nameLength = name.length,
    list = 34 + name.length,
  }) => {
    const local = Buffer.alloc(30 + name.length + 4);
    local.write("PK\x03\x04", "latin1");
    local.writeUInt16LE(name.length, 26);
    local.write(`${name}\x80\x02}.`, 30, "latin1");
    const entry = Buffer.alloc(46 + name.length);
    entry.write("PK\x01\x02", "latin1");
    entry.writeUInt32LE(size, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(nameLength, 28);
    entry.writeUInt16LE(extra.length, 30);
    entry.writeUInt32LE(offset, 42);
    entry.write(name, 46);
    const end = Buffer.alloc(22);
    end.write("PK\x05\x06", "latin1");
    end.writeUInt16LE(1, 8);
    end.writeUInt16LE(1, 10);
    end.writeUInt32LE(entry.length + extra.length, 12);
    end.writeUInt32LE(list, 16);
    return Buffer.concat([local, entry, extra, end]);
  };
  const zip64 = (...values: bigint[]) => {
    const extra = Buffer.alloc(4 + 8 * values.length);
    extra.writeUInt16LE(1);
    extra.writeUInt16LE(8 * values.length, 2);
    values.forEach((value, i) => extra.writeBigUInt64LE(value, 4 + 8 * i));
    return extra;
  };

  it.each<[string, Uint8Array]>([
    ["4 GB where there are 4 bytes", archive({ size: 2 ** 32 - 16 })],
    ["2^63 bytes", archive({ size: 2 ** 32 - 1, extra: zip64(2n ** 63n, 2n ** 63n) })],
    ["an entry at 2^64 - 1", archive({ offset: 2 ** 32 - 1, extra: zip64(2n ** 64n - 1n) })],
    ["an entry in the middle of another", archive({ offset: 5 })],
    ["a name behind the end", archive({ nameLength: 65_535 })],
    ["a list at 4 GB", archive({ list: 2 ** 32 - 16 })],
    ["a list in an entry", archive({ list: 0 })],
  ])("%s", async (problem, bytes) => {
    const path = join(root, `${problem}.pt`);
    await writeFile(path, bytes);
    const before = process.memoryUsage().rss;
    await expect(openWeightFile(path)).rejects.toMatchObject({ code: "CLIP_CHECKPOINT" });
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });
});

describe("small pickles that would fill the memory or take for ever", () => {
  const opcodes = (...parts: (string | number)[]) =>
    Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.of(part))));
  const times = (count: number, ...parts: (string | number)[]) => {
    const bytes = opcodes(...parts);
    return Buffer.alloc(bytes.length * count, bytes);
  };
  const int = (value: number) => {
    const bytes = Buffer.alloc(5, "J");
    bytes.writeInt32LE(value, 1);
    return bytes;
  };
  const key = (text: string) => Buffer.concat([Buffer.from("X"), int(text.length).subarray(1), Buffer.from(text)]);
  /** A dictionary of so many dictionaries, all with the same tensor. */
  const dictionaries = (count: number, tensor: Uint8Array) => [
    Buffer.from("}("),
    ...Array.from({ length: count }, (_, i) => [
      ...[int(i), Buffer.from("}"), key("a")],
      i === 0 ? Buffer.concat([tensor, opcodes("q", 9)]) : opcodes("h", 9),
      Buffer.from("s"),
    ]).flat(),
    Buffer.from("u"),
  ];
  const storage = [opcodes("(("), key("storage"), opcodes("ctorch\nFloatStorage\n"), key("0"), key("cpu"), int(1)];
  const view = opcodes("tQ", "K", 0, "K", 1, 0x85, "K", 1, 0x85, 0x89, "}tR");
  const tensor = Buffer.concat([Buffer.from("ctorch._utils\n_rebuild_tensor_v2\n"), ...storage, view]);

  it.each<[string, () => readonly Uint8Array[], RegExp]>([
    [
      "a long list made a dictionary again and again",
      () => [
        opcodes("ccollections\nOrderedDict\nq", 0, "]("),
        times(100_000, "K", 1, "K", 2, 0x86),
        opcodes("e", 0x85, "q", 1),
        times(300_000, "h", 0, "h", 1, "R0"),
      ],
      /it makes more than 500000 objects/,
    ],
    [
      "a class with a long name called again and again",
      () => [opcodes(`c${"m".repeat(4e6)}\nx\nq`, 0), times(300_000, "h", 0, ")R0")],
      /a name has more than 1000 characters/,
    ],
    [
      "a long key above many dictionaries",
      () => [Buffer.from("}"), key("k".repeat(4e6)), ...dictionaries(30_000, tensor), Buffer.from("s")],
      /the names of its tensors are too long/,
    ],
    [
      "many keys above many dictionaries",
      () => [
        ...Array.from({ length: 50 }, () => [Buffer.from("}"), key("k".repeat(1000))]).flat(),
        ...dictionaries(30_000, tensor),
        times(50, "s"),
      ],
      /the names of its tensors are too long/,
    ],
    ["a mark in a mark", () => [times(3_900_000, "(")], /it makes more than 500000 objects/],
    ["texts of more bytes than there are", () => [opcodes(0x8d, ...times(8, 0x7f))], /it ends too early/],
    ["a number of 2 GB", () => [opcodes(0x8b, 0xff, 0xff, 0xff, 0x7f)], /opcode 0x8b does not occur in weight files/],
    ["an object whose state is itself", () => [opcodes("cx\ny\n)Rq", 0, "h", 0, "b")], /holds no named tensors/],
    ["memory far apart", () => [opcodes("Nr", 0xff, 0xff, 0xff, 0x7f)], /holds no named tensors/],
  ])("%s", async (name, parts, problem) => {
    const before = process.memoryUsage().rss;
    const path = join(root, `${name}.pt`);
    await writeFile(path, legacyPickle(Buffer.concat(parts())));
    await expect(openWeightFile(path)).rejects.toMatchObject({
      code: "CLIP_CHECKPOINT",
      message: expect.stringMatching(problem) as string,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(700e6);
  });
});
