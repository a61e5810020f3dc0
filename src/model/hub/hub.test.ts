import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Headers } from "undici";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { commit, type HubOptions, type Mischief, serveHub, sha256, type TestHub } from "../../../test/hub-server.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { listCache, removeCached } from "./cache.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { BusyServer, download, isUnreachable, networkProblem, withRetries } from "../../core/download.ts";
import { tryLock, withLock } from "../../core/lock.ts";
import { resolveModel } from "./resolve.ts";

const root = await temporaryFolder();
let folders = 0;
let home: string;
let hub: TestHub | undefined;

/** 300 kB that no two places have alike. */
const large = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2_654_435_761) >>> 13);
const files = {
  "config.json": Buffer.from('{"model_type":"clip"}'),
  "model.safetensors": large,
  "pytorch_model.bin": large.subarray(1),
  "README.md": Buffer.from("no part of a model"),
};

beforeEach(() => {
  home = join(root, `home-${folders++}`);
  vi.stubEnv("HOME", home);
  vi.stubEnv("HF_HUB_CACHE", join(home, "hub"));
  for (const name of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"])
    vi.stubEnv(name, undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub?.close();
  hub = undefined;
});

async function serve(mischief?: readonly (Mischief | undefined)[], options?: HubOptions): Promise<TestHub> {
  hub = await serveHub("some/model", files, mischief, options);
  vi.stubEnv("HF_ENDPOINT", hub.url);
  return hub;
}

describe("without a network", () => {
  const unreachable = (code: string) =>
    new TypeError("fetch failed", { cause: Object.assign(new Error(`connect ${code}`), { code }) });
  const attempts = async (error: Error) => {
    let count = 0;
    const attempt = () => {
      count++;
      return Promise.reject(error);
    };
    await expect(withRetries(attempt, () => Promise.resolve(false), undefined, isUnreachable)).rejects.toBe(error);
    return count;
  };

  it.each(["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"])(
    "nobody waits for more than a second attempt: %s",
    async (code) => {
      expect(await attempts(unreachable(code))).toBe(2);
    },
  );

  it("a server that takes the question and never answers is asked twice", async () => {
    vi.stubEnv("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    const { requests } = await serve([], { list: () => undefined });
    await expect(resolveModel("some/model")).rejects.toThrow(/no answer within 1 seconds.*"pictograms"/);
    expect(requests.filter(({ path }) => path.includes("/tree/"))).toHaveLength(2);
  });

  it("a server that brings something each time and never all is given up", async () => {
    const busy = new BusyServer({ status: 503, headers: new Headers({ "retry-after": "0" }) });
    let count = 0;
    const attempt = () => {
      count++;
      return Promise.reject(busy);
    };
    await expect(withRetries(attempt, () => Promise.resolve(true), undefined)).rejects.toBe(busy);
    expect(count).toBe(100);
  });

  it("a connection that breaks is tried again, and the message says which of both it was", async () => {
    expect(await attempts(unreachable("ECONNRESET"))).toBe(4);
    expect(networkProblem(unreachable("UND_ERR_CONNECT_TIMEOUT"))).toBe("no connection within 10 seconds");
    expect(networkProblem(unreachable("UND_ERR_HEADERS_TIMEOUT"))).toBe("nothing arrived for 60 seconds");
  });
});

describe("a repository of the hub", () => {
  it("is fetched into the layout of Python's cache: the configs and one kind of weights", async () => {
    await serve();
    const folder = await resolveModel("some/model");
    expect(folder).toBe(join(home, "hub", "models--some--model", "snapshots", commit));
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
    expect(await readlink(join(folder, "model.safetensors"))).toBe(join("..", "..", "blobs", sha256(large)));
    expect(new Uint8Array(await readFile(join(folder, "model.safetensors")))).toEqual(large);
    expect(await readFile(join(home, "hub", "models--some--model", "refs", "main"), "utf8")).toBe(commit);
    const left = await readdir(join(home, "hub", "models--some--model", "blobs"));
    expect(left.filter((name) => /part|lock/.test(name))).toEqual([]);
  });

  it("is fetched once, and found offline", async () => {
    const { requests } = await serve();
    const folder = await resolveModel("some/model");
    const asked = requests.filter(({ path }) => path.includes("/resolve/")).length;
    expect(await resolveModel("some/model")).toBe(folder);
    expect(requests.filter(({ path }) => path.includes("/resolve/"))).toHaveLength(asked);
    await hub!.close();
    expect(await resolveModel("some/model", { offline: true })).toBe(folder);
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect(await resolveModel("some/model")).toBe(folder);
    await expect(resolveModel("other/model")).rejects.toThrow(
      /other\/model is not in the cache .* offline nothing is fetched/,
    );
    vi.stubEnv("HF_HUB_OFFLINE", undefined);
    const reasons: string[] = [];
    expect(await resolveModel("some/model", { onStale: (reason) => reasons.push(reason) })).toBe(folder);
    expect(reasons).toEqual([expect.stringMatching(/^http.* cannot be asked \(.*\): the cached some\/model is used$/)]);
    await expect(resolveModel("other/model")).rejects.toThrow(
      /no other\/model here, and cannot ask http.*; HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror; go online once, or/,
    );
  });

  it("goes on where a connection broke off, and says how far it is", async () => {
    const { requests } = await serve([undefined, { breakAfter: 100_000 }, { breakAfter: 50_000 }]);
    const seen: DownloadProgress[] = [];
    const folder = await resolveModel("some/model", { onProgress: (progress) => seen.push(progress) });
    expect(new Uint8Array(await readFile(join(folder, "model.safetensors")))).toEqual(large);
    const asked = requests.filter(({ path }) => path.endsWith("model.safetensors")).map(({ range }) => range);
    expect(asked).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
    const ofWeights = seen.filter(({ url }) => url.endsWith(".safetensors"));
    expect(ofWeights.every(({ total }) => total === large.length)).toBe(true);
    expect(ofWeights.map(({ received }) => received)).toEqual(
      ofWeights.map(({ received }) => received).sort((a, b) => a - b),
    );
    expect(ofWeights.at(-1)!.received).toBe(large.length);
  });

  it("starts anew where a server does not send parts", async () => {
    await serve([undefined, { breakAfter: 100_000 }, { ignoreRange: true }]);
    const folder = await resolveModel("some/model");
    expect(new Uint8Array(await readFile(join(folder, "model.safetensors")))).toEqual(large);
  });

  it.each<[string, Mischief, RegExp]>([
    ["other bytes", { wrong: large.toReversed() }, /has the wrong checksum: got [0-9a-f]{64}, expected /],
    ["a longer file", { wrong: new Uint8Array(400_000) }, /has 400000 bytes, not the announced 300000/],
    ["a refusal", { status: 403 }, /needs a token, or its licence must be accepted/],
    ["nothing", { status: 404 }, /there is no such file/],
  ])("is not taken where the server sends %s", async (_, mischief, message) => {
    await serve([undefined, mischief]);
    await expect(resolveModel("some/model")).rejects.toThrow(message);
    const blobs = await readdir(join(home, "hub", "models--some--model", "blobs"));
    expect(blobs).not.toContain(sha256(large));
  });

  it("keeps what has arrived when it gives up", async () => {
    await serve([undefined, { breakAfter: 70_000 }, ...Array.from({ length: 9 }, () => ({ status: 503 }))]);
    await expect(resolveModel("some/model")).rejects.toThrow(
      /cannot fetch .*model\.safetensors: the server returned 503; the part received is kept/,
    );
    const blobs = join(home, "hub", "models--some--model", "blobs");
    expect(readFileSync(join(blobs, `${sha256(large)}.part`))).toHaveLength(70_000);
    const [model] = await listCache();
    expect(model).toMatchObject({ name: "some/model", bytes: 70_000 + files["config.json"].length });
    await removeCached(model!);
    expect(await listCache()).toEqual([]);
  });

  it("is asked for over https with the token of the environment, which no error repeats", async () => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const { requests } = await serve([{ status: 403 }], { tls: true });
    const error = await resolveModel("some/model").catch((thrown: Error) => thrown);
    expect(requests.every(({ token }) => token === "Bearer hf_secret")).toBe(true);
    expect(`${(error as Error).message} ${String((error as Error).cause)}`).not.toContain("hf_secret");
  });

  it("is not believed names of files that lead elsewhere", async () => {
    for (const lie of [{ sha: "../../../elsewhere" }, { oid: "../../../elsewhere" }]) {
      await hub?.close();
      hub = await serveHub("some/model", files, [], lie);
      vi.stubEnv("HF_ENDPOINT", hub.url);
      await expect(resolveModel("some/model")).rejects.toThrow(/gives malformed checksums of some\/model; is it a hub/);
    }
    expect(existsSync(home)).toBe(false);
  });

  it("that does not exist is told from a path", async () => {
    await serve();
    await expect(resolveModel("no/model")).rejects.toThrow(/no no\/model here, and cannot find it on http/);
    await expect(resolveModel("google/siglip-base-patch16-224")).rejects.toThrow(/set HF_TOKEN.*"pictograms"/);
    await expect(resolveModel("google/siglip-base-patch16-225")).rejects.toThrow(/did you mean "google.*-224"/);
    await expect(resolveModel("ViT-B/33", { offline: true })).rejects.toThrow(/is not in the cache/);
    await expect(resolveModel("ViT-B-32")).rejects.toThrow(/does not exist; did you mean "ViT-B\/32"/);
    await expect(resolveModel("./nowhere")).rejects.toThrow(/\.\/nowhere does not exist; name a folder, a weight file/);
    expect(await resolveModel(root)).toBe(root);
  });
});

describe("an archive of OpenAI's", () => {
  const archive = () => join(home, ".cache", "clip", "RN50.pt");

  it("that Python left half fetched is not taken for whole", async () => {
    await mkdir(join(home, ".cache", "clip"), { recursive: true });
    await writeFile(archive(), "half of it");
    await expect(resolveModel("RN50", { offline: true })).rejects.toThrow(
      /timm\/resnet50_clip\.openai is not in the cache/,
    );
    expect(existsSync(archive())).toBe(true);
    const [found] = await listCache();
    expect(found).toMatchObject({ name: archive(), bytes: 10 });
  });
});

describe("download", () => {
  it("fetches a file once, however many ask for it", async () => {
    const { url, requests } = await serve();
    const target = join(home, "file");
    const address = `${url}/some/model/resolve/${commit}/model.safetensors`;
    await Promise.all(
      Array.from({ length: 4 }, () => download(address, target, { checksum: { sha256: sha256(large) } })),
    );
    expect(requests).toHaveLength(1);
    expect(await readdir(home)).toEqual(["file"]);
  });

  it("knows that it has everything where another process ended before it said so", async () => {
    const { url, requests } = await serve();
    await mkdir(home, { recursive: true });
    const target = join(home, "file");
    await writeFile(`${target}.part`, large);
    await download(`${url}/some/model/resolve/${commit}/model.safetensors`, target, {
      checksum: { sha256: sha256(large) },
    });
    expect(requests.map(({ range }) => range)).toEqual(["bytes=300000-"]);
    expect(new Uint8Array(await readFile(target))).toEqual(large);
  });

  it("stops when it is told to, and keeps what has arrived", async () => {
    const { url } = await serve([{ breakAfter: 100_000, claim: 300_000 }]);
    const stop = new AbortController();
    const target = join(home, "file");
    const fetching = download(`${url}/some/model/resolve/${commit}/model.safetensors`, target, {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await expect(fetching).rejects.toMatchObject({ name: "AbortError" });
    expect(existsSync(`${target}.part`)).toBe(true);
    expect(existsSync(`${target}.lock`)).toBe(false);
  });
});

describe("a lock", () => {
  it("is held by one at a time, and taken from a process that is no more", async () => {
    await mkdir(home, { recursive: true });
    const path = join(home, "lock");
    // No process has this number: it is above the largest.
    await writeFile(path, `${hostname()} 2147483646`);
    let inside = 0;
    const work = () =>
      withLock(path, async () => {
        expect(++inside).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inside--;
      });
    await Promise.all([work(), work(), work()]);
    expect(existsSync(path)).toBe(false);
  });

  it("is taken from a process that had this one's number before it, and from no other thread of this one", async () => {
    await mkdir(home, { recursive: true });
    const path = join(home, "numbered");
    await writeFile(path, `${hostname()} ${process.pid} another thread's`);
    expect(await tryLock(path)).toBeUndefined();
    expect(await tryLock(path)).toBeUndefined();
    const before = new Date(Date.now() - 1000 * process.uptime() - 1000);
    await utimes(path, before, before);
    expect(await tryLock(path)).toBeUndefined();
    const lock = await tryLock(path);
    expect(lock).toBeDefined();
    await lock![Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(false);
  });
});
