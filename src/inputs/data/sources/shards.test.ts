import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { temporaryFolder } from "../../../../test/temporary-folder.ts";
import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import { readPairs } from "../pairs.ts";
import { expandBraces } from "./braces.ts";
import type { Sample } from "./samples.ts";

const root = await temporaryFolder();
let made = 0;
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", join(root, `cache-${made++}`));
});
afterAll(() => vi.unstubAllEnvs());

/** A tar of these files, in this order, as the system's tar writes it. */
async function tar(files: Record<string, string | Uint8Array>, path = join(root, `${made++}.tar`)): Promise<string> {
  const folder = join(root, `files-${made++}`);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  await mkdir(dirname(path), { recursive: true });
  execFileSync("tar", ["-C", folder, "-cf", path, ...Object.keys(files)]);
  return path;
}

async function contentOf({ bytes }: Sample): Promise<string> {
  return (await readFile(bytes!.file)).subarray(bytes!.offset, bytes!.offset + bytes!.length).toString();
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ClipError);
  expect((error as ClipError).code).toBe("CLIP_DATA");
  return (error as ClipError).message;
}

const three = {
  "1.jpg": "one",
  "1.txt": "cat 1",
  "2.jpg": "two",
  "2.txt": "cat 2",
  "3.jpg": "three",
  "3.txt": "cat 3",
};

describe("expandBraces", () => {
  it("counts with the digits of the first number, lists, and does both", () => {
    expect(expandBraces("a-{08..11}.tar")).toEqual(["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]);
    expect(expandBraces("{x,y}/{0..1}.tar")).toEqual(["x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"]);
    expect(expandBraces("{odd}.tar")).toEqual(["{odd}.tar"]);
  });

  it("refuses what counts downwards or for ever", () => {
    expect(() => expandBraces("{9..1}.tar")).toThrow("{9..1} counts downwards");
    expect(() => expandBraces("{0..999999999}.tar")).toThrow("more than 1000000 names");
    expect(() => expandBraces("{0..9999}{0..9999}.tar")).toThrow("more than 1000000 names");
  });
});

describe("a shard", () => {
  it("gives each image the captions under its name, from .txt or .json, whatever stands between", async () => {
    const shard = await tar({
      "a/b.JPG": "first",
      "c.png": "second",
      "c.json": '{"title": "no", "caption": ["a cat", "eine Möwe"]}',
      "a/b.txt": "a dog\n\na brown dog\n",
      "a/b.json": '{"caption": "not this"}',
      "d.seg.png": "third",
      "d.txt": "by the name up to the first dot",
    });
    const { samples, skipped } = await readPairs(shard);
    expect(samples.map(({ image, captions }) => [image, captions])).toEqual([
      [`${shard}/a/b.JPG`, ["a dog", "a brown dog"]],
      [`${shard}/c.png`, ["a cat", "eine Möwe"]],
      [`${shard}/d.seg.png`, ["by the name up to the first dot"]],
    ]);
    expect(await Promise.all(samples.map(contentOf))).toEqual(["first", "second", "third"]);
    expect(skipped).toEqual([]);
  });

  it("gives the key of its JSON that is asked for, and names those there are", async () => {
    const shard = await tar({
      "1.jpg": "",
      "1.txt": "no",
      "1.json": '{"alt":"yes"}',
      "2.jpg": "",
      "2.json": '{"x":1}',
    });
    const { samples, skipped } = await readPairs(shard, { captionColumn: "alt" });
    expect(samples.map(({ captions }) => captions)).toEqual([["yes"]]);
    expect(skipped).toEqual([{ image: `${shard}/2.jpg`, reason: `${shard}/2.json has no "alt"; it has x` }]);
    expect(await errorOf(readPairs(shard, { captionColumn: "label" }))).toMatch(/has no "label"; it has alt/);
  });

  it("gives synthetic captions from files of their own or the JSON, and never takes them for captions", async () => {
    const shard = await tar({
      ...{ "1.jpg": "", "1.synthetic.txt": "One dog.\nIt runs.", "1.txt": "one" },
      ...{ "2.jpg": "", "2.json": '{"caption": "two", "re_caption": "Two dogs."}' },
      ...{ "3.jpg": "", "3.json": '{"caption": "three", "synthetic": null}' },
      ...{ "4.jpg": "", "4.json": '{"caption": "four", "synthetic": 4}' },
      ...{ "5.jpg": "", "5.long.txt": "Five.", "5.txt": "five" },
    });
    const { samples, skipped } = await readPairs(shard, { synthetic: true });
    expect(samples.slice(0, 3).map(({ captions, synthetic }) => [captions, synthetic])).toEqual([
      [["one"], "One dog. It runs."],
      [["two"], "Two dogs."],
      [["three"], undefined],
    ]);
    expect(skipped).toEqual([
      { image: `${shard}/4.jpg`, reason: `${shard}/4.json: "synthetic" must be a string or a list of strings` },
    ]);
    const [first] = (await readPairs(shard)).samples;
    expect(first).toMatchObject({ captions: ["one"] });
    expect(first).not.toHaveProperty("synthetic");
    const long = await readPairs(shard, { synthetic: true, syntheticColumn: "long" });
    expect(long.samples.at(-1)).toMatchObject({ captions: ["five"], synthetic: "Five." });
    expect(await errorOf(readPairs(shard, { synthetic: true, syntheticColumn: "none" }))).toMatch(
      /holds no synthetic captions/,
    );
  });

  it("gives no image the captions of another of the same name: the last of a name counts", async () => {
    const first = await readFile(await tar({ "1.jpg": "first", "1.txt": "one" }));
    const second = await readFile(await tar({ "1.jpg": "second", "1.txt": "two" }));
    const both = join(root, "both.tar");
    // Each of these files is a block behind its header.
    await writeFile(both, Buffer.concat([first.subarray(0, 2048), second]));
    const { samples, skipped } = await readPairs(both);
    expect(samples.map(({ captions }) => captions)).toEqual([["two"]]);
    expect(await contentOf(samples[0]!)).toBe("second");
    expect(skipped).toEqual([
      { image: `${both}/1.jpg`, reason: "a file of the same name comes after it in the shard, and takes its place" },
    ]);
  });

  it("is listed with what it is, beside others, where it is none that is read", async () => {
    const folder = join(root, "others");
    await tar(three, join(folder, "0.tar"));
    const heads = {
      "1.tar.zst": ["zstd", Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0)],
      "2.tar": ["bzip2", Buffer.from("BZh91AY")],
      "3.tar.xz": ["xz", Buffer.from("\xfd7zXZ\0", "latin1")],
      "4.tar": ["Git LFS", Buffer.from("version https://git-lfs.github.com/spec/v1\n")],
    } as const;
    for (const [name, [, head]] of Object.entries(heads)) await writeFile(join(folder, name), head);
    const { samples, skipped } = await readPairs(folder);
    expect(samples).toHaveLength(3);
    expect(skipped).toEqual(
      Object.entries(heads).map(([name, [what]]) => ({
        image: join(folder, name),
        reason: expect.stringContaining(what) as string,
      })),
    );
  });

  it("lists what has no captions, and why", async () => {
    const shard = await tar({
      ...{ "0.jpg": "", "0.txt": "kept", "1.jpg": "", "2.jpg": "", "2.txt": " \n", "3.jpg": "" },
      "3.txt": Buffer.from("one\nM\xf6we", "latin1"),
      ...{ "4.jpg": "", "4.json": "{", "5.jpg": "", "5.json": '{"caption":5}', "6.jpg": "" },
      "6.txt": "x".repeat(2 ** 20 + 1),
    });
    const { samples, skipped } = await readPairs(shard);
    expect(samples).toHaveLength(1);
    expect(skipped.map(({ reason }) => reason.replaceAll(`${shard}/`, ""))).toEqual([
      "there is no .txt or .json with its captions",
      "its caption is empty",
      "3.txt, line 2 is not UTF-8; save it as UTF-8",
      "4.json is not JSON",
      '5.json: "caption" must be a string or a list of strings',
      "6.txt has 1048577 bytes, and at most 1048576 are read",
    ]);
  });

  it("lists a text whose place another takes that differs in case alone", async () => {
    const shard = await tar({ "1.jpg": "", "1.txt": "first", "1.TXT": "second", "a.py": "", "a.PY": "" });
    const { samples, skipped } = await readPairs(shard);
    expect(samples.map(({ captions }) => captions)).toEqual([["second"]]);
    expect(skipped).toEqual([{ image: `${shard}/1.txt`, reason: "1.TXT is read in its place; keep one of the two" }]);
  });

  it("is read alike when it is compressed, and unpacked once", async () => {
    const plain = await tar(three);
    const packed = plain.replace(".tar", ".tar.gz");
    await writeFile(packed, gzipSync(await readFile(plain)));
    const { samples } = await readPairs(packed);
    expect(samples.map(({ image }) => image)).toEqual([1, 2, 3].map((i) => `${packed}/${i}.jpg`));
    expect(await Promise.all(samples.map(contentOf))).toEqual(["one", "two", "three"]);
    const kept = samples[0]!.bytes!.file;
    expect(await readdir(dirname(kept))).toHaveLength(1);
    await tar({ "4.jpg": "", "4.txt": "cat 4" }, kept); // to see that it is read again, and not the other
    expect((await readPairs(packed)).samples.map(({ captions: [caption] }) => caption)).toEqual(["cat 4"]);
  });

  it("loses only what is behind the place where it was cut, and says so", async () => {
    const plain = await readFile(await tar(three));
    const cut = join(root, "cut.tar");
    await writeFile(cut, plain.subarray(0, 512 * 9 + 2)); // in the third image: header and block of 4 files before it
    const { samples, skipped } = await readPairs(cut);
    expect(samples.map(({ captions: [caption] }) => caption)).toEqual(["cat 1", "cat 2"]);
    const reason =
      "the shard is cut or damaged; 2 pairs could be read, what came after is lost: " +
      "it ends in the middle of 3.jpg, with 2 of 5 bytes, after 4 files; fetch or pack it again";
    expect(skipped).toEqual([{ image: cut, reason }]);
  });

  it("loses only its end when it was cut while compressed", async () => {
    const random = new Random(3);
    const noise = () => Uint8Array.from({ length: 20_000 }, () => random.integer(256));
    const files: Record<string, string | Uint8Array> = {};
    for (const i of [1, 2, 3, 4]) Object.assign(files, { [`${i}.txt`]: `${i}`, [`${i}.jpg`]: noise() });
    const packed = gzipSync(await readFile(await tar(files)));
    const cut = join(root, "cut.tar.gz");
    await writeFile(cut, packed.subarray(0, 0.6 * packed.length));
    const { samples, skipped } = await readPairs(cut);
    expect(samples.map(({ captions: [caption] }) => caption)).toEqual(["1", "2"]);
    expect(skipped).toMatchObject([
      { image: cut, reason: expect.stringContaining("it ends in the middle of 3.jpg") as string },
    ]);
    expect((await readPairs(cut)).skipped).toEqual(skipped);
  });

  it("is one of several: a pattern, or a folder of them in order", async () => {
    const folder = join(root, "shards");
    for (const i of [9, 10, 11])
      await tar({ "a.jpg": "", "a.txt": `from ${i}` }, join(folder, `s-${`${i}`.padStart(2, "0")}.tar`));
    const captions = async (source: string) =>
      (await readPairs(source)).samples.map(({ captions: [caption] }) => caption);
    expect(await captions(join(folder, "s-{09..11}.tar"))).toEqual(["from 9", "from 10", "from 11"]);
    expect(await captions(folder)).toEqual(["from 9", "from 10", "from 11"]);
    expect(await errorOf(readPairs(join(folder, "s-{09..12}.tar")))).toMatch(
      /cannot open the shard .*s-12\.tar: it does not exist/,
    );
  });

  it("may hold class folders", async () => {
    const shard = await tar({ "train/hot_dog/1.jpg": "", "train/cat/2.jpg": "", "3.jpg": "" });
    const { samples, skipped } = await readPairs(shard, { classTemplates: ["a {}", "$& {}"] });
    expect(samples.map(({ captions }) => captions)).toEqual([
      ["a hot dog", "$& hot dog"],
      ["a cat", "$& cat"],
    ]);
    expect(skipped).toEqual([{ image: `${shard}/3.jpg`, reason: "it is in no class folder" }]);
  });
});

describe("a shard with an address", () => {
  let content: Buffer;
  /** Bytes after which each answer breaks off; how often it was asked. */
  let [breakAfter, resumes, asked] = [Infinity, true, 0];
  const server = createServer((request, response) => {
    asked++;
    if (request.url!.startsWith("/none")) return void response.writeHead(404).end();
    const start = resumes ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
    const headers = { "content-length": content.length - start, etag: `"${content.length}"` };
    const range = { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
    response.writeHead(start > 0 ? 206 : 200, start > 0 ? { ...headers, ...range } : headers);
    if (content.length - start <= breakAfter) return void response.end(content.subarray(start));
    response.write(content.subarray(start, start + breakAfter), () => setTimeout(() => response.destroy(), 250));
  });
  let url: string;
  beforeEach(async () => {
    if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    [breakAfter, resumes, asked] = [Infinity, true, 0];
    content = await readFile(await tar(three));
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) vi.stubEnv(name, undefined);
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it("is fetched once, and its name tells no secret", async () => {
    const { samples } = await readPairs(`${url}/a/s-{0..1}.tar?token=secret`);
    expect(samples.map(({ image }) => image)).toEqual(
      [0, 1].flatMap((shard) => [1, 2, 3].map((i) => `${url}/a/s-${shard}.tar/${i}.jpg`)),
    );
    expect(await contentOf(samples[5]!)).toBe("three");
    await readPairs(`${url}/a/s-{0..1}.tar?token=secret`);
    expect(asked).toBe(2);
  });

  it("loses nothing when the connection breaks off and the server can go on", async () => {
    breakAfter = 6000;
    const { samples, skipped } = await readPairs(`${url}/s.tar`);
    expect(samples).toHaveLength(3);
    expect(skipped).toEqual([]);
    expect(asked).toBe(2);
  });

  it("loses its end when the server always breaks off there, and says so", async () => {
    [breakAfter, resumes] = [512 * 9, false];
    const { samples, skipped } = await readPairs(`${url}/s.tar?token=secret`);
    expect(samples.map(({ captions: [caption] }) => caption)).toEqual(["cat 1", "cat 2"]);
    expect(skipped).toHaveLength(1);
    expect(skipped[0]!.reason).toMatch(
      /^the shard is cut or damaged; .* is lost: cannot fetch http:[^?]*s\.tar: .*run it again/,
    );
  });

  it("is refused when it is not there", async () => {
    expect(await errorOf(readPairs(`${url}/none.tar?token=secret`))).toMatch(
      /cannot fetch [^?]*none\.tar: there is no such file/,
    );
    expect(await errorOf(readPairs(`${url}/table.csv?token=secret`))).toMatch(
      /table\.csv: of addresses only shards are read/,
    );
  });
});
