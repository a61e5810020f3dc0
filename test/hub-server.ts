import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";

/** How a server misbehaves, by the number of the request for a file. */
export interface Mischief {
  /** Ends the connection after so many bytes of the answer. */
  readonly breakAfter?: number;
  /** Says another length than it sends. */
  readonly claim?: number;
  /** Sends these bytes in place of the file's. */
  readonly wrong?: Uint8Array;
  /** Answers with this status. */
  readonly status?: number;
  /** Sends these headers too. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Does not say how long its answer is. */
  readonly noLength?: boolean;
  /** Sends so many bytes and then nothing, without ending the connection. */
  readonly stallAfter?: number;
  /** Sends everything, whatever part was asked for. */
  readonly ignoreRange?: boolean;
}

/** How a hub differs from a good one. */
export interface HubOptions {
  /** In place of the commit. */
  readonly sha?: string;
  /** In place of the small files' checksums. */
  readonly oid?: string;
  /** Speaks TLS, with a certificate that nobody has signed. */
  readonly tls?: boolean;
  /** In place of the list of files. */
  readonly list?: (request: IncomingMessage, response: ServerResponse) => void;
}

export interface TestHub {
  readonly url: string;
  /** What was asked for: path, Range, If-Range, Authorization. */
  readonly requests: {
    path: string;
    range: string | undefined;
    ifRange: string | undefined;
    token: string | undefined;
  }[];
  close(): Promise<void>;
}

export const commit = "0123456789abcdef0123456789abcdef01234567";
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const gitSha1 = (bytes: Uint8Array) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/**
 * Hugging Face's hub for one repository, as far as fetching a model goes; files of 1,000 bytes and more are large ones.
 *
 * @param mischief - what goes wrong with the n-th request for a file's content.
 */
export async function serveHub(
  name: string,
  files: Readonly<Record<string, Uint8Array>>,
  mischief: readonly (Mischief | undefined)[] = [],
  { sha = commit, oid, tls = false, list }: HubOptions = {},
): Promise<TestHub> {
  const requests: TestHub["requests"] = [];
  let served = 0;
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = new URL(request.url!, "http://hub").pathname;
    const { range, authorization: token } = request.headers;
    requests.push({ path, range, ifRange: request.headers["if-range"] as string | undefined, token });
    if (path.startsWith(`/api/models/${name}/tree/`))
      return list ? list(request, response) : json(response, tree(files, oid));
    if (path.startsWith(`/api/models/${name}`)) return json(response, { id: name, modelId: name, sha });
    const file = files[path.replace(`/${name}/resolve/${commit}/`, "")];
    if (!file) return void response.writeHead(404).end();
    send(request, response, file, mischief[served++] ?? {});
  };
  const server = testServer(answer, tls);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `${tls ? "https" : "http"}://127.0.0.1:${port}`, requests, close };
}

/** A server, or one that speaks TLS with a certificate that nobody has signed. */
export function testServer(answer: (request: IncomingMessage, response: ServerResponse) => void, tls: boolean) {
  if (!tls) return createServer(answer);
  const read = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));
  return createSecureServer({ key: read("key"), cert: read("cert") }, answer);
}

/** The list of files as the hub gives it. */
export function tree(files: Readonly<Record<string, Uint8Array>>, oid?: string) {
  return Object.entries(files).map(([path, bytes]) => ({
    ...{ type: "file", path, size: bytes.length, oid: oid ?? gitSha1(bytes) },
    ...(bytes.length >= 1000 && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
  }));
}

export function json(response: ServerResponse, value: object): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function send(request: IncomingMessage, response: ServerResponse, file: Uint8Array, how: Mischief): void {
  if (how.status) return void response.writeHead(how.status, how.headers).end();
  const content = how.wrong ?? file;
  const start = how.ignoreRange ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start >= content.length && start > 0)
    return void response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
  const rest = content.subarray(start);
  const headers = { ...how.headers, ...(!how.noLength && { "content-length": how.claim ?? rest.length }) };
  const range = { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(start > 0 ? 206 : 200, start > 0 ? { ...headers, ...range } : headers);
  if (how.stallAfter !== undefined) return void response.write(rest.subarray(0, how.stallAfter));
  if (how.breakAfter === undefined) return void response.end(rest);
  response.write(rest.subarray(0, how.breakAfter), () => setTimeout(() => response.destroy(), 100));
}
