import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  commit,
  type HubOptions,
  json,
  type Mischief,
  serveHub,
  sha256,
  type TestHub,
  tree,
} from "../../../test/hub-server.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import type { DownloadProgress } from "../../core/progress.ts";
import { BusyServer, download } from "../../core/download.ts";
import { neededFiles } from "./repository.ts";
import { resolveModel } from "./resolve.ts";

const root = await temporaryFolder();
let folders = 0;
let home: string;
const open: { close(): Promise<void> }[] = [];

const weights = Buffer.from(Uint8Array.from({ length: 50_000 }, (_, i) => (i * 2_654_435_761) >>> 13));
/** Another state of the same file, as long as the first. */
const newer = Buffer.from(weights.toReversed());
const files = { "config.json": Buffer.from('{"model_type":"clip"}'), "model.safetensors": weights };

beforeEach(async () => {
  home = join(root, `home-${folders++}`);
  await mkdir(home);
  vi.stubEnv("HOME", home);
  vi.stubEnv("HF_HUB_CACHE", join(home, "hub"));
  for (const name of ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"])
    vi.stubEnv(name, undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of open.splice(0)) await server.close();
});

async function serve(mischief?: readonly (Mischief | undefined)[], options?: HubOptions): Promise<TestHub> {
  const hub = await serveHub("some/model", files, mischief, options);
  open.push(hub);
  vi.stubEnv("HF_ENDPOINT", hub.url);
  return hub;
}

/** A server that answers as it is told, and notes what it was asked. */
async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const addressOn = ({ url }: { readonly url: string }) => `${url}/some/model/resolve/${commit}/model.safetensors`;

describe("the token", () => {
  beforeEach(() => {
    vi.stubEnv("HF_TOKEN", "hf_secret");
    // The hub here has a certificate that nobody has signed.
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
  });

  it("goes to no other host that the rest of a list is said to be on", async () => {
    const other = await listen((_, response) => json(response, []));
    const list = (_: IncomingMessage, response: ServerResponse) => {
      response.setHeader("link", `<${other.url}/api/models/some/model/tree/main?cursor=1>; rel="next"`);
      json(response, tree(files));
    };
    await serve([], { tls: true, list });
    await expect(resolveModel("some/model")).rejects.toThrow(
      new RegExp(`^https.* names ${other.url} for the rest of its list; only it is asked$`),
    );
    expect(other.requests).toEqual([]);
  });

  it("goes with the hub's answers to no other host that it redirects to", async () => {
    const store = await serveHub("some/model", files, [], { tls: true });
    open.push(store);
    const redirect = { status: 302, headers: { location: addressOn(store) } };
    const hub = await serve([undefined, redirect], { tls: true });
    const folder = await resolveModel("some/model");
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
    expect(hub.requests.every(({ token }) => token === "Bearer hf_secret")).toBe(true);
    expect(store.requests.map(({ token }) => token)).toEqual([undefined]);
  });

  it("goes with the list of files to no other host that it redirects to", async () => {
    const other = await serveHub("some/model", files, [], { tls: true });
    open.push(other);
    const list: HubOptions["list"] = ({ url }, response) =>
      void response.writeHead(302, { location: `${other.url}${url}` }).end();
    await serve([], { tls: true, list });
    await resolveModel("some/model");
    expect(other.requests.map(({ token }) => token)).toEqual([undefined]);
  });

  it("never goes over plain http, which the refusal says", async () => {
    const { requests } = await serve([{ status: 401 }]);
    await expect(resolveModel("some/model")).rejects.toThrow(/set HF_TOKEN .*; no token is sent over plain http$/);
    await expect(resolveModel("other/model")).rejects.toThrow(/set HF_TOKEN .*; no token is sent over plain http$/);
    expect(requests.every(({ token }) => token === undefined)).toBe(true);
  });
});

describe("a list of files", () => {
  const listing = async (list: HubOptions["list"]) => {
    await serve([], { list: list! });
    return resolveModel("some/model").then(
      () => "it was taken",
      (error: Error) => error.message,
    );
  };

  it("of endless size or number of pages is left", async () => {
    expect(
      await listing((_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const more = () => void response.write(" ".repeat(2 ** 20), () => !response.destroyed && more());
        more();
      }),
    ).toMatch(/answers with more than 16777216 bytes; is it a hub\?$/);
    let pages = 0;
    const paged = await listing((request, response) => {
      const here = `http://${request.headers.host}${new URL(request.url!, "http://hub").pathname}`;
      response.setHeader("link", `<${here}?cursor=${++pages}>; rel="next"`);
      json(response, []);
    });
    expect(paged).toMatch(/gives a list of more than 20 pages; is it a hub\?$/);
    expect(pages).toBeLessThanOrEqual(20);
  });

  it.each<[string, object]>([
    ["a negative size", [{ type: "file", path: "model.safetensors", size: -1, oid: "0".repeat(40) }]],
    ["an absurd size", [{ type: "file", path: "model.safetensors", size: 1e15, oid: "0".repeat(40) }]],
    ["no size", [{ type: "file", path: "model.safetensors", oid: "0".repeat(40) }]],
    ["a path that is no text", [{ type: "file", path: 1, size: 1, oid: "0".repeat(40) }]],
    ["entries that are none", [null]],
  ])("with %s is none", async (_, entries) => {
    expect(await listing((_, response) => json(response, entries))).toMatch(
      /gives a malformed list of the files of some\/model; is it a hub\?$/,
    );
    expect(existsSync(join(home, "hub"))).toBe(false);
  });

  it("that is a page asks for the login of the network", async () => {
    const page = (_: IncomingMessage, response: ServerResponse) =>
      void response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<h1>Welcome to the hotel");
    expect(await listing(page)).toMatch(/cannot ask http.*: got a web page instead; log in to the network/);
  });

  it("gives only files of a model in the folder itself", () => {
    const entry = (path: string, type: "file" | "directory" = "file") => ({ type, path, size: 1, oid: "0".repeat(40) });
    const hostile = ["../config.json", "/etc/config.json", ".git/config", "a/model.safetensors", "config.json/../../x"];
    const good = ["model.safetensors", "config.json", "processor_config.json"];
    const names = neededFiles([...[...hostile, ...good].map((path) => entry(path)), entry("merges.txt", "directory")]);
    expect(names.map(({ path }) => path)).toEqual(good);
  });

  it("of open_clip's repositories gives open_clip's weights: others may be the image tower alone", () => {
    const paths = ["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"];
    const named = (names: readonly string[]) =>
      neededFiles(names.map((path) => ({ type: "file", path, size: 1, oid: "" }))).map(({ path }) => path);
    expect(named([...paths, "open_clip_pytorch_model.bin", "pytorch_model.bin"])).toEqual([
      ...["config.json", "open_clip_config.json", "open_clip_model.safetensors"],
    ]);
    expect(named(["open_clip_config.json", "open_clip_pytorch_model.safetensors"])).toHaveLength(2);
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const index = "model.safetensors.index.json";
    expect(named(["config.json", index, ...shards])).toEqual(["config.json", index, ...shards]);
    expect(named(shards)).toEqual([]);
  });

  it("is asked for again where the server is busy for a moment", async () => {
    let asked = 0;
    const list = (_: IncomingMessage, response: ServerResponse) =>
      asked++ === 0 ? void response.writeHead(429, { "retry-after": "0" }).end() : json(response, tree(files));
    expect(await listing(list)).toBe("it was taken");
    expect(asked).toBe(2);
  });
});

describe("a download", () => {
  const target = () => join(home, "file");

  it("goes on by If-Range where the server has the same file, in this process and the next", async () => {
    const versions = { headers: { etag: '"one"' } };
    const hub = await serve([
      { ...versions, breakAfter: 20_000 },
      { status: 404 },
      { ...versions, breakAfter: 10_000 },
      versions,
    ]);
    await expect(download(addressOn(hub), target())).rejects.toThrow(/there is no such file/);
    expect((await readdir(home)).sort()).toEqual(["file.part", "file.part.version"]);
    await download(addressOn(hub), target());
    expect(await readFile(target())).toEqual(weights);
    expect(hub.requests.map(({ range, ifRange }) => [range, ifRange])).toEqual([
      ...[
        [undefined, undefined],
        ["bytes=20000-", '"one"'],
        ["bytes=20000-", '"one"'],
        ["bytes=30000-", '"one"'],
      ],
    ]);
    expect(await readdir(home)).toEqual(["file"]);
  });

  it.each<[string, Mischief]>([
    ["answers with the whole", { wrong: newer, ignoreRange: true, headers: { etag: '"two"' } }],
    ["sends its rest all the same", { wrong: newer, headers: { etag: '"two"' } }],
  ])("is of one state of a file that was changed meanwhile, where the server %s", async (_, second) => {
    const hub = await serve([{ headers: { etag: '"one"' }, breakAfter: 20_000 }, second, second]);
    await download(addressOn(hub), target());
    expect(await readFile(target())).toEqual(newer);
  });

  it.each<[string, Record<string, string>]>([
    ["says nothing of its state", {}],
    ["has a weak ETag alone", { etag: 'W/"one"' }],
  ])("begins again where the server %s, and no checksum is known", async (_, headers) => {
    const hub = await serve([{ headers, breakAfter: 20_000 }, { headers }]);
    await download(addressOn(hub), target());
    expect(await readFile(target())).toEqual(weights);
    expect(hub.requests.map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  it("does without a length, and says so", async () => {
    const hub = await serve([{ noLength: true }]);
    const seen: DownloadProgress[] = [];
    await download(addressOn(hub), target(), { onProgress: (progress) => seen.push(progress) });
    expect(await readFile(target())).toEqual(weights);
    expect(seen.at(-1)).toMatchObject({ received: weights.length, total: undefined });
  });

  it("checks what came without a length by its checksum", async () => {
    const hub = await serve([{ noLength: true, wrong: newer.subarray(1) }]);
    await expect(download(addressOn(hub), target(), { checksum: { sha256: sha256(weights) } })).rejects.toThrow(
      /has the wrong checksum/,
    );
    expect(await readdir(home)).toEqual([]);
  });

  it("is no page of a network that asks for a login", async () => {
    const page = { wrong: Buffer.from("<h1>Welcome"), headers: { "content-type": "text/html" } };
    const hub = await serve([page]);
    await expect(download(addressOn(hub), target())).rejects.toThrow(/got a web page instead; log in to the/);
    expect(await readdir(home)).toEqual([]);
  });

  it("goes on where nothing has arrived for a while", async () => {
    vi.stubEnv("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    vi.resetModules(); // the time is read once in a process
    const patient = await import("../../core/download.ts");
    const hub = await serve([{ headers: { etag: '"one"' }, stallAfter: 20_000 }, { headers: { etag: '"one"' } }]);
    await patient.download(addressOn(hub), target());
    expect(await readFile(target())).toEqual(weights);
    expect(hub.requests.map(({ range }) => range)).toEqual([undefined, "bytes=20000-"]);
  });

  it("waits as long as a busy server asks for, within bounds", async () => {
    const pause = (after?: string) => {
      const headers = new Headers(after === undefined ? {} : { "retry-after": after });
      return new BusyServer({ status: 503, headers } as unknown as ConstructorParameters<typeof BusyServer>[0]).pauseMs;
    };
    expect([pause("2"), pause("86400"), pause("-5"), pause("soon"), pause()]).toEqual([
      ...[2_000, 30_000, 0, undefined, undefined],
    ]);
    expect(pause("Fri, 31 Dec 9999 23:59:59 GMT")).toBe(30_000);
    const hub = await serve([{ status: 429, headers: { "retry-after": "0" } }]);
    await download(addressOn(hub), target());
    expect(hub.requests).toHaveLength(2);
  });

  it("begins again from a part of which nobody knows what it is of", async () => {
    await writeFile(`${target()}.part`, newer.subarray(0, 20_000));
    const hub = await serve();
    await download(addressOn(hub), target());
    expect(await readFile(target())).toEqual(weights);
  });
});
