import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

/** How a server of a page differs from a good one. */
export interface ServerOptions {
  /** Sends the headers without which browsers let no threads share memory. */
  readonly isolated?: boolean;
  /** Sends everything, whatever part was asked for. */
  readonly ignoreRange?: boolean;
  /** Answers with a page where there is nothing, as servers of single-page applications do. */
  readonly pageForAll?: boolean;
  /** Never says how long an answer is, and sends everything. */
  readonly noLength?: boolean;
  /** Does not answer HEAD. */
  readonly refuseHead?: boolean;
  /** Says of every answer what version it is; read anew for each. */
  readonly version?: () => string;
  /** Ends the connection after so many bytes of every second answer. */
  readonly breakAfter?: number;
}

/** A server of folders on this machine. */
export interface TestServer {
  readonly url: string;
  /** What was sent: path and, of a part, its first and last byte. */
  readonly sent: { path: string; range: readonly [number, number] | undefined; bytes: number }[];
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/** @param roots - folders by the beginning of the path under which they are served; the first that fits counts. */
export async function serveFolders(
  roots: Readonly<Record<string, string>>,
  options: ServerOptions = {},
): Promise<TestServer> {
  const sent: TestServer["sent"] = [];
  let parts = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://page").pathname));
    if (options.refuseHead && request.method === "HEAD") return void response.writeHead(405).end();
    if (options.isolated) {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    const [prefix, folder] = Object.entries(roots).find(([beginning]) => path.startsWith(beginning))!;
    const file = join(folder, path.slice(prefix.length), path.endsWith("/") ? "index.html" : "");
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) {
      response.writeHead(options.pageForAll ? 200 : 404, { "content-type": "text/html" });
      return void response.end(request.method === "HEAD" ? undefined : "<p>nothing here");
    }
    response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
    response.setHeader("etag", `"${options.version?.() ?? found.mtimeMs}"`);
    if (request.method === "HEAD") {
      if (!options.noLength) response.setHeader("content-length", found.size);
      return void response.end();
    }
    const content = await readFile(file);
    const asked = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const range =
      asked && !options.ignoreRange && !options.noLength ? ([Number(asked[1]), Number(asked[2])] as const) : undefined;
    const body = range ? content.subarray(range[0], range[1] + 1) : content;
    sent.push({ path, range, bytes: body.length });
    if (range) response.setHeader("content-range", `bytes ${range.join("-")}/${content.length}`);
    response.writeHead(range ? 206 : 200, options.noLength ? {} : { "content-length": body.length });
    const breaks = options.breakAfter !== undefined && range && parts++ % 2 === 0 && body.length > options.breakAfter;
    if (!breaks) return void response.end(body);
    response.write(body.subarray(0, options.breakAfter), () => setTimeout(() => response.destroy(), 20));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    sent,
    close() {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
