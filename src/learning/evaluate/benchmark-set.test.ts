import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { serveFiles, writeBenchmarkSet } from "../../../test/benchmark-set.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { BenchmarkSet } from "./benchmark-set.ts";
import { npyBytes } from "../../inputs/data/npy.ts";

const root = await temporaryFolder();
const classNames = ["tench", "goldfish", "great white shark"];
const templates = ["a bad photo of a {}.", "the {}"];
const set = {
  classNames,
  templates,
  shards: [
    { "s0000000.webp": "one", "s0000000.cls": "2", "s0000001.png": "two", "s0000001.cls": "0\n" },
    { "s0000002.jpg": "three", "s0000002.cls": "1" },
  ],
};
const folder = await writeBenchmarkSet(join(root, "served/datasets/clip-benchmark/wds_imagenet1k/resolve/main"), set);
const server = await serveFiles(join(root, "served"));
afterAll(() => server.close());

let caches = 0;
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", join(root, `cache-${caches++}`));
  vi.stubEnv("HF_ENDPOINT", server.url);
  for (const variable of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"])
    vi.stubEnv(variable, undefined);
  server.requests.length = 0;
});
afterEach(() => vi.unstubAllEnvs());

/** What a set says, with the images' bytes in place of where they lie. */
async function contentsOf(benchmark: BenchmarkSet) {
  const names = await benchmark.classLines();
  const { samples, skipped } = await benchmark.images(names.length);
  const images = samples.map(async ({ image, label, bytes }) => {
    const { file, offset, length } = bytes!;
    return [image, label, (await readFile(file)).subarray(offset, offset + length).toString()];
  });
  return { names, templates: await benchmark.templates(), images: await Promise.all(images), skipped };
}
const contentsAt = (place: string) => ({
  names: classNames,
  templates,
  images: [
    [`${place}/test/0.tar/s0000000.webp`, 2, "one"],
    [`${place}/test/0.tar/s0000001.png`, 0, "two"],
    [`${place}/test/1.tar/s0000002.jpg`, 1, "three"],
  ],
  skipped: [],
});

describe("a set in a folder", () => {
  it("gives names and templates line by line, and the images of all shards with the numbers of their classes", async () => {
    const found = await BenchmarkSet.find(folder);
    expect([found.isRemote, found.known]).toEqual([false, undefined]);
    expect(await contentsOf(found)).toEqual(contentsAt(folder));
  });

  it("gives an image each class at which its .npy has a one, whatever its numbers are", async () => {
    const rows = {
      "a.jpg": "a",
      "a.npy": npyBytes("<i8", [3], BigInt64Array.of(1n, 0n, 1n)),
      "b.jpg": "b",
      "b.npy": npyBytes("|b1", [3], Uint8Array.of(0, 1, 0)),
      "c.jpg": "c",
      "c.npy": npyBytes("<i4", [3], Int32Array.of(0, -1, 0)),
    };
    const place = await writeBenchmarkSet(join(root, "many"), { classNames, templates, shards: [rows] });
    const { samples, skipped } = await (await BenchmarkSet.find(place)).images(3);
    expect(samples.map(({ image, label }) => [image.slice(-5), label])).toEqual([
      ...[
        ["a.jpg", 0],
        ["a.jpg", 2],
        ["b.jpg", 1],
      ],
    ]);
    expect(skipped).toEqual([{ image: `${place}/test/0.tar/c.jpg`, reason: "it shows none of the classes" }]);
  });

  it("of which a shard was cut gives what stands before, and says what is lost", async () => {
    const place = await writeBenchmarkSet(join(root, "cut"), set);
    await truncate(join(place, "test/0.tar"), 2100);
    const { samples, skipped } = await (await BenchmarkSet.find(place)).images(3);
    expect(samples.map(({ label }) => label)).toEqual([2, 1]);
    expect(skipped).toEqual([
      {
        image: `${place}/test/0.tar`,
        reason: expect.stringMatching(/the rest of the shard is lost: it ends/) as string,
      },
    ]);
  });

  it.each([
    ["test/nshards.txt", "two", /test\/nshards\.txt must be the number of shards, not "two"/],
    ["test/nshards.txt", "999999999", /must be the number of shards/],
    ["test/nshards.txt", "3", /cannot open the shard .*2\.tar: it does not exist/],
    ["classnames.txt", "tench\n\nshark\n", /classnames\.txt, line 2 is blank, so the classes below it are ambiguous/],
    ["classnames.txt", "\n", /classnames\.txt is empty/],
    ["classnames.txt", "tench\nshark", /s0000000\.cls is class 2, counted from 0, but there are 2 class names/],
    ["zeroshot_classification_templates.txt", "", /zeroshot_classification_templates\.txt is empty/],
  ])("whose %s is %j is refused", async (file, content, message) => {
    const place = await writeBenchmarkSet(join(root, "bad"), set);
    await writeFile(join(place, file), content);
    await expect(contentsOf(await BenchmarkSet.find(place))).rejects.toThrow(message);
  });

  it("of captions is none of classes, and a name that nobody knows is answered by those that are", async () => {
    const shards = [{ "a.jpg": "a", "a.txt": "a caption" }];
    const place = await writeBenchmarkSet(join(root, "captions"), { classNames, templates, shards });
    await expect((await BenchmarkSet.find(place)).images(3)).rejects.toThrow(
      /has no labelled images: .*a\.jpg: there is no \.cls or \.npy with its class/,
    );
    await expect(BenchmarkSet.find("imagnet")).rejects.toThrow(
      /did you mean "imagenet"\? Known are imagenet, imagenetv2/,
    );
    await expect(BenchmarkSet.find("nothing-like-it")).rejects.toThrow(
      /there is no folder nothing-like-it.*; known are/,
    );
  });
});

describe("a set of the paper", () => {
  it("is fetched from the mirror once, each file when it is needed, and then found offline", async () => {
    const place = `${server.url}/datasets/clip-benchmark/wds_imagenet1k/resolve/main`;
    const found = await BenchmarkSet.find("imagenet");
    expect([found.source, found.isRemote, found.known!.metric]).toEqual([place, true, "top1"]);
    expect(server.requests).toEqual([]);
    await found.classLines();
    expect(server.requests).toHaveLength(1);
    expect(await contentsOf(found)).toEqual(contentsAt(place));
    expect(server.requests).toHaveLength(5);
    expect(await contentsOf(await BenchmarkSet.find("imagenet", { offline: true }))).toEqual(contentsAt(place));
    expect(server.requests).toHaveLength(5);
  });

  it("is not asked for offline", async () => {
    const found = await BenchmarkSet.find("imagenet", { offline: true });
    await expect(found.classLines()).rejects.toMatchObject({
      code: "CLIP_DOWNLOAD",
      message: expect.stringMatching(
        /classnames\.txt is not in the cache .*, and offline nothing is fetched/,
      ) as string,
    });
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    await expect((await BenchmarkSet.find("imagenet")).classLines()).rejects.toThrow(/offline nothing is fetched/);
    expect(server.requests).toEqual([]);
  });

  it("has the token of the hub sent to the hub over https, and to no other place", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    await (await BenchmarkSet.find("imagenet")).templates();
    const [hub, other] = [
      await serveFiles(join(root, "served"), { tls: true }),
      await serveFiles(folder, { tls: true }),
    ];
    vi.stubEnv("HF_ENDPOINT", hub.url);
    await (await BenchmarkSet.find("imagenet")).classLines();
    await (await BenchmarkSet.find(other.url)).classLines();
    await hub.close();
    await other.close();
    expect(server.requests.map(({ token }) => token)).toEqual([undefined]);
    expect(hub.requests.map(({ token }) => token)).toEqual(["Bearer hf_secret"]);
    expect(other.requests).toEqual([{ path: "/classnames.txt", token: undefined }]);
  });

  it("that nobody publishes so says what to give", async () => {
    await expect((await BenchmarkSet.find("hatefulmemes")).classLines()).rejects.toThrow(
      /hatefulmemes is not published in this layout; provide the contents of classnames\.txt yourself/,
    );
  });
});

describe("a set by its address", () => {
  it("is read from any server, what is behind the ? going with every file and into no message", async () => {
    const other = await serveFiles(folder);
    const found = await BenchmarkSet.find(`${other.url}/?key=secret`);
    expect(found.name).toBe(`${other.url}/`);
    expect((await contentsOf(found)).images).toHaveLength(3);
    expect(other.requests.every(({ path }) => path.endsWith("?key=secret"))).toBe(true);
    await other.close();
    const gone = await BenchmarkSet.find(`${other.url}/nowhere?key=secret`);
    const error = await gone.classLines().catch((thrown: Error) => thrown.message);
    expect(error).toMatch(/cannot fetch http.*nowhere\/classnames\.txt/);
    expect(error).not.toContain("secret");
  });

  it("that is a page of the hub leads to the files behind it", async () => {
    const repository = "https://huggingface.co/datasets/clip-benchmark/wds_imagenet1k";
    for (const page of [repository, `${repository}/tree/main`])
      expect(await (await BenchmarkSet.find(page)).classLines()).toEqual(classNames);
    await mkdir(join(root, "served/datasets/x"), { recursive: true });
    await expect((await BenchmarkSet.find(`${repository}/tree/other`)).classLines()).rejects.toThrow(
      /resolve\/other\/classnames\.txt: there is no such file/,
    );
  });
});
