import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { commit, serveHub, sha256, type TestHub } from "../../../test/hub-server.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { unprivileged } from "../../../test/unprivileged.ts";
import { cachedArchive } from "./archive.ts";
import { listCache, removeCached } from "./cache.ts";
import { download } from "../../core/download.ts";
import { knownModels } from "./known-models.ts";
import { fetchRepository } from "./repository.ts";
import { resolveModel } from "./resolve.ts";

const root = await temporaryFolder();
await chmod(root, 0o755);
let folders = 0;
let home: string;
let hub: TestHub | undefined;

const weights = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2_654_435_761) >>> 13);
const files = { "config.json": Buffer.from('{"model_type":"clip"}'), "model.safetensors": weights };
const name = "some/model";
const inCache = (...path: string[]) => join(home, "hub", "models--some--model", ...path);

beforeEach(async () => {
  home = join(root, `home-${folders++}`);
  await mkdir(home);
  vi.stubEnv("HOME", home);
  vi.stubEnv("HF_HUB_CACHE", join(home, "hub"));
  for (const variable of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"])
    vi.stubEnv(variable, undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub?.close();
  hub = undefined;
});

async function serve(sha = commit): Promise<TestHub> {
  await hub?.close();
  hub = await serveHub(name, files, [], { sha });
  vi.stubEnv("HF_ENDPOINT", hub.url);
  return hub;
}

/** Takes the right to write from all, for everything below. */
async function seal(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o555);
  await chmod(folder, 0o555);
}

describe("a cache that cannot be written", () => {
  it("is enough where it has the model, offline or not", async () => {
    await serve();
    const folder = await fetchRepository(name);
    // As Python leaves it: not even the name of the newest commit can be noted.
    await writeFile(inCache("refs", "main"), "of old");
    await seal(home);
    expect(await unprivileged(() => fetchRepository(name))).toBe(folder);
    expect(await readFile(inCache("refs", "main"), "utf8")).toBe("of old");
  });

  it("is named where it has not, with the way out", async () => {
    await serve();
    await seal(home);
    await expect(unprivileged(() => fetchRepository(name))).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringMatching(
        /cannot make the folder .*snapshots.*: permission denied; HF_HUB_CACHE names another/,
      ) as string,
    });
  });

  it("offers what it has where the hub has something newer", async () => {
    await serve();
    const folder = await fetchRepository(name);
    await serve("f".repeat(40));
    await seal(home);
    await expect(unprivileged(() => fetchRepository(name))).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringMatching(
        /permission denied.*; the cache has an older version .*, which --offline uses/,
      ) as string,
    });
    expect(await unprivileged(() => fetchRepository(name, { offline: true }))).toBe(folder);
  });

  it("is told from others by each of its places: blobs, links, locks", async () => {
    const { url } = await serve();
    const address = `${url}/${name}/resolve/${commit}/model.safetensors`;
    const target = join(home, "sealed", "file");
    await mkdir(join(home, "sealed"));
    await seal(home);
    await expect(unprivileged(() => download(address, target))).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: `cannot write ${target}.lock: permission denied; nothing was changed`,
    });
  });

  it("full, says so and keeps what has arrived", async () => {
    const { url } = await serve();
    const target = join(home, "file");
    await symlink("/dev/full", `${target}.part`);
    await expect(download(`${url}/${name}/resolve/${commit}/model.safetensors`, target)).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringMatching(
        /^cannot write .*file\.part: the disk is full.*; the part received is kept$/,
      ) as string,
    });
    expect(await readdir(home)).toEqual(["file.part"]);
  });

  it("keeps its models, and says that they cannot be removed", async () => {
    await serve();
    await fetchRepository(name);
    await seal(home);
    const [model] = await listCache();
    await expect(unprivileged(() => removeCached(model!))).rejects.toMatchObject({
      code: "CLIP_FILE",
      message: expect.stringMatching(/^cannot remove .*models--some--model: permission denied/) as string,
    });
  });
});

describe("an archive of OpenAI's", () => {
  const source = { file: "RN0.pt", sha256: sha256(weights) };
  const target = () => join(home, ".cache", "clip", source.file);

  it("is used where Python has left the whole of it, and noted as whole", async () => {
    expect(await cachedArchive(source)).toBeUndefined();
    await mkdir(join(home, ".cache", "clip"), { recursive: true });
    await writeFile(target(), weights.subarray(0, 1000));
    expect(await cachedArchive(source)).toBeUndefined();
    await writeFile(target(), weights);
    expect(await cachedArchive(source)).toBe(target());
    expect((await readdir(join(home, ".cache", "clip"))).sort()).toEqual(["RN0.pt", "RN0.pt.verified"]);
    await writeFile(target(), weights.toReversed());
    expect(await cachedArchive(source)).toBeUndefined();
  });

  it("is enough in a folder that cannot be written", async () => {
    await mkdir(join(home, ".cache", "clip"), { recursive: true });
    await writeFile(target(), weights);
    await seal(home);
    expect(await unprivileged(() => cachedArchive(source))).toBe(target());
  });
});

describe("what a user is told", () => {
  it("of a licence comes before anything is asked for", async () => {
    const apple = "apple/DFN2B-CLIP-ViT-B-16";
    hub = await serveHub(apple, files);
    vi.stubEnv("HF_ENDPOINT", hub.url);
    const { requests } = hub;
    const told: [string, number][] = [];
    await resolveModel(apple, { onLicence: ({ licence }) => told.push([licence, requests.length]) });
    expect(told).toEqual([["Apple", 0]]);
    expect(knownModels.filter(({ nonFree }) => nonFree).map(({ name: known }) => known.split("/")[0])).toEqual([
      ...["apple", "apple", "apple", "apple", "facebook", "facebook"],
    ]);
  });

  it("holds no token: neither errors nor progress, and an address with a password is refused", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    const { url } = await serve();
    const seen: unknown[] = [];
    await fetchRepository(name, { onProgress: (progress) => seen.push(progress) });
    expect(seen.length).toBeGreaterThan(0);
    expect(JSON.stringify(seen)).not.toContain("hf_secret");
    vi.stubEnv("HF_ENDPOINT", url.replace("http://", "http://user:hf_secret@"));
    const error = await fetchRepository(name).catch((thrown: Error) => thrown);
    expect((error as Error).message).toMatch(/^HF_ENDPOINT must be an address .* without a password$/);
  });
});

describe("the list of the cache", () => {
  it("has partial downloads and models with broken links, and none of others' models", async () => {
    const put = async (folder: string, entries: Readonly<Record<string, string>>) => {
      for (const [path, content] of Object.entries(entries)) {
        await mkdir(join(home, "hub", folder, path, ".."), { recursive: true });
        await writeFile(join(home, "hub", folder, path), content);
      }
    };
    await put("models--google--bert", { "snapshots/1/config.json": '{"model_type":"bert"}', "blobs/a": "12345" });
    await put("datasets--some--images", { "snapshots/1/config.json": '{"model_type":"clip"}' });
    await put("models--half--fetched", { "snapshots/1/config.json": '{"model_type":"clip"}', "blobs/a.part": "123" });
    await put("models--open--clip", { "snapshots/1/open_clip_config.json": "{}" });
    await symlink("../../blobs/gone", join(home, "hub", "models--open--clip", "snapshots", "1", "weights"));
    await symlink("nowhere", join(home, "hub", "models--broken--link"));
    await writeFile(join(home, "hub", "version.txt"), "1");
    const models = await listCache();
    expect(models.map(({ name: listed, bytes }) => [listed, bytes])).toEqual([
      ["half/fetched", 24],
      ["open/clip", 2],
    ]);
    for (const model of models) await removeCached(model);
    expect(await listCache()).toEqual([]);
    expect((await readdir(join(home, "hub"))).sort()).toEqual([
      ...["datasets--some--images", "models--broken--link", "models--google--bert", "version.txt"],
    ]);
  });

  it("an empty note of the newest commit stands for none", async () => {
    await mkdir(inCache("refs"), { recursive: true });
    await mkdir(inCache("snapshots"), { recursive: true });
    await writeFile(inCache("refs", "main"), "\n");
    await expect(fetchRepository(name, { offline: true })).rejects.toThrow(/is not in the cache/);
  });
});
