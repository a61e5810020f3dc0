import { createServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeEach, expect, it, vi } from "vitest";
import { commit, serveHub } from "../../../test/hub-server.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";

const root = await temporaryFolder();
const weights = new Uint8Array(5_000).fill(7);
const hub = await serveHub("some/model", { "model.safetensors": weights });
/** What went through the proxy: hosts, by tunnel or by whole address. */
const passed: string[] = [];
const proxy = createServer((request, response) => {
  const url = new URL(request.url!);
  passed.push(url.host);
  request.pipe(httpRequest(url, { headers: request.headers }, (answer) => answer.pipe(response)));
});
proxy.on("connect", (request, socket) => {
  passed.push(request.url!);
  const [host, port] = request.url!.split(":") as [string, string];
  const upstream = connect(Number(port), host, () => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    upstream.pipe(socket).pipe(upstream);
  });
  for (const end of [upstream, socket]) end.on("error", () => end.destroy());
});
await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await hub.close();
});

const variables = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
beforeEach(() => {
  vi.resetModules(); // the variables are read once in a process
  for (const name of variables) vi.stubEnv(name, undefined);
  passed.length = 0;
});
afterEach(() => vi.unstubAllEnvs());

const address = `${hub.url}/some/model/resolve/${commit}/model.safetensors`;

async function fetchTo(name: string): Promise<Uint8Array> {
  const { download } = await import("../../core/download.ts");
  await download(address, join(root, name));
  return new Uint8Array(await readFile(join(root, name)));
}

it.each(["HTTP_PROXY", "http_proxy"])("%s is the way to an address of http", async (variable) => {
  vi.stubEnv(variable, proxyUrl);
  expect(await fetchTo(variable)).toEqual(weights);
  expect(passed).toEqual([new URL(hub.url).host]);
});

it("NO_PROXY names who is asked directly", async () => {
  vi.stubEnv("HTTP_PROXY", proxyUrl);
  vi.stubEnv("NO_PROXY", "127.0.0.1");
  expect(await fetchTo("direct")).toEqual(weights);
  expect(passed).toEqual([]);
});

it("HTTPS_PROXY is the way to an address of https: a tunnel", async () => {
  vi.stubEnv("HTTPS_PROXY", proxyUrl);
  vi.resetModules();
  const { proxiedFetch } = await import("../../core/download.ts");
  // The hub speaks no TLS: what counts is who was asked to lead there.
  await expect(proxiedFetch(hub.url.replace("http:", "https:"))).rejects.toThrow();
  expect(passed).toEqual([new URL(hub.url).host]);
});
