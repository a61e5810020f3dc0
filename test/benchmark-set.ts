import { readFile, mkdir, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { tarBytes } from "../src/inputs/data/tar.ts";
import { testServer } from "./hub-server.ts";

/** A shard: the files in it. */
export type ShardFiles = Readonly<Record<string, Uint8Array | string>>;

/** The bytes of a shard. */
export async function shardBytes(files: ShardFiles): Promise<Uint8Array> {
  const contents = Object.entries(files).map(([name, content]) => ({
    ...{ name, bytes: typeof content === "string" ? Buffer.from(content) : content },
  }));
  async function* inOrder() {
    for (const content of contents) yield await Promise.resolve(content);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarBytes(inOrder())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Writes a data set in the layout of CLIP_benchmark; returns its folder. */
export async function writeBenchmarkSet(
  folder: string,
  {
    classNames,
    templates,
    shards,
  }: {
    readonly classNames: readonly string[];
    readonly templates: readonly string[];
    readonly shards: readonly ShardFiles[];
  },
): Promise<string> {
  const files: Record<string, string | Uint8Array> = {
    "classnames.txt": `${classNames.join("\n")}\n`,
    "zeroshot_classification_templates.txt": `${templates.join("\n")}\n`,
    "test/nshards.txt": `${shards.length}\n`,
  };
  for (const [i, shard] of shards.entries()) files[`test/${i}.tar`] = await shardBytes(shard);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** A server of the files of a folder that notes what it is asked for. */
export async function serveFiles(folder: string, { tls = false } = {}) {
  const requests: { path: string; token: string | undefined }[] = [];
  const server = testServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://files").pathname);
    requests.push({ path: request.url!, token: request.headers.authorization });
    readFile(join(folder, path)).then(
      (bytes) => response.writeHead(200, { "content-length": bytes.length }).end(bytes),
      () => response.writeHead(404).end(),
    );
  }, tls);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, close };
}
