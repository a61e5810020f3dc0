import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as createSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { augmentImage, photoAugment } from "./augment.ts";
import { decodeImage } from "./decode.ts";
import type { ImageSource } from "./image-source.ts";
import { preprocessImage } from "./preprocess.ts";
import { clipPreprocess } from "./preprocess-config.ts";
import type { RasterImage } from "./raster-image.ts";

const path = fileURLToPath(new URL("../../../fixtures/preprocess/rgba.png", import.meta.url));
const bytes = await readFile(path);
const wanted = await decodeImage(path);

const answers: Record<string, RequestListener> = {
  "/image": (_, response) => response.setHeader("content-type", "image/png").end(bytes),
  "/moved": (_, response) => response.writeHead(302, { location: "/image" }).end(),
  "/round": (_, response) => response.writeHead(302, { location: "/round" }).end(),
  "/to-file": (_, response) => response.writeHead(302, { location: pathToFileURL(path).href }).end(),
  "/page": (_, response) => response.setHeader("content-type", "text/html; charset=utf-8").end("<!doctype html><p>no"),
  "/odd": (_, response) => response.setHeader("content-type", "application/x-odd").end(Buffer.from([0xfd, 0xfe, 0xff])),
  "/busy": (_, response) => response.writeHead(429, { "retry-after": "7" }).end(),
  "/broken": (_, response) => response.writeHead(503, "x".repeat(500)).end(),
  "/closed": (_, response) => response.writeHead(403).end(),
  "/late": (_, response) => response.writeHead(503, { "retry-after": "Fri, 01 Jan 2100 00:00:00 GMT" }).end(),
  "/slow": (_, response) => void response.write("GIF89a"),
  "/huge": (_, response) => void response.writeHead(200, { "content-length": 2 ** 30 }).write("GIF89a"),
};

let server: Server;
let origin: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = answers[request.url ?? ""];
    if (answer) answer(request, response);
    else response.writeHead(404).end("nothing here");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("an image may be", () => {
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const copy = Uint8Array.from(bytes).buffer;
  const sources: Record<string, () => ImageSource> = {
    "a path": () => path,
    "a file: address": () => pathToFileURL(path).href,
    "a URL of a file": () => pathToFileURL(path),
    "an address": () => `${origin}/image`,
    "a URL": () => new URL(`${origin}/image`),
    "an address that has moved": () => `${origin}/moved`,
    "a data: address": () => `data:image/png;base64,${bytes.toString("base64")}`,
    "a data: address without base64": () =>
      `data:,${Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`,
    "a Buffer": () => bytes,
    "an ArrayBuffer": () => copy,
    "a SharedArrayBuffer": () => shared,
    "a DataView": () => new DataView(copy),
    "an Int8Array": () => new Int8Array(copy),
    "a Blob": () => new Blob([bytes]),
    "an object URL": () => URL.createObjectURL(new Blob([bytes])),
    "already decoded": () => wanted,
  };
  it.each(Object.keys(sources))("%s", async (kind) => {
    expect(await decodeImage(sources[kind]!())).toEqual(wanted);
  });
});

describe("an address is refused", () => {
  it.each([
    ["/none", /^http:\S+\/none cannot be fetched: the server returned 404 Not Found; check the address$/],
    ["/busy", /: the server returned 429 Too Many Requests; try again in 7 seconds$/],
    ["/broken", /: the server returned 503 x{100}; try again later$/],
    ["/late", /: the server returned 503 Service Unavailable; try again later$/],
    ["/closed", /: the server returned 403 Forbidden; download it where you have access, and pass the file$/],
    ["/page", /is an HTML page, not an image: check the address .*\(declared as text\/html\)$/],
    ["/odd", /is not an image of a known format \(declared as application\/x-odd\); convert/],
    ["/round", /cannot be fetched: /],
    ["/to-file", /cannot be fetched: /],
  ])("%s, with the reason", async (address, message) => {
    await expect(decodeImage(origin + address)).rejects.toMatchObject({
      code: "CLIP_IMAGE",
      message: expect.stringMatching(message) as string,
    });
  });

  it("if it takes too long, is aborted, or has too many bytes", async () => {
    await expect(decodeImage(`${origin}/slow`, { timeoutMs: 50 })).rejects.toThrow(/took longer than 0\.05 seconds/);
    const controller = new AbortController();
    const fetched = decodeImage(`${origin}/slow`, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(fetched).rejects.toThrow("enough");
    await expect(decodeImage(`${origin}/huge`)).rejects.toThrow(/has more than 512 MiB/);
  });

  it("if it is unreachable, has a password, or another scheme; a long one is shortened", async () => {
    await expect(decodeImage("http://127.0.0.1:9/a.png")).rejects.toThrow(
      /^http:\/\/127.0.0.1:9\/a.png cannot be fetched: /,
    );
    const withPassword: unknown = await decodeImage("https://me:secret@localhost/a.png").catch(
      (error: unknown) => error,
    );
    expect((withPassword as Error).message).toMatch(
      /^https:\/\/localhost\/a.png cannot be fetched: its address contains/,
    );
    await expect(decodeImage("http://[::1/a.png")).rejects.toThrow(/cannot be fetched: the address is invalid$/);
    await expect(decodeImage("s3://bucket/a.png")).rejects.toThrow(/only https:, http:, data: and file: addresses can/);
    const long: unknown = await decodeImage(`data:text/plain,${"x".repeat(9999)}`).catch((error: unknown) => error);
    expect((long as Error).message.length).toBeLessThan(400);
  });
});

describe("a value that is not an image source is refused", () => {
  it.each([[null], [undefined], [7], [{}], [[]]])("%j", async (source) => {
    await expect(decodeImage(source as unknown as string)).rejects.toThrow(/an image: |^an image is /);
  });

  it.skipIf(process.platform === "win32")("a pipe, a socket or a device, at once", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clip-ts-sources-"));
    const [pipe, socket] = [join(folder, "pipe.png"), join(folder, "socket.png")];
    execFileSync("mkfifo", [pipe]);
    const listening = createSocket().listen(socket);
    await new Promise((resolve) => listening.once("listening", resolve));
    await expect(decodeImage(pipe)).rejects.toThrow(`${pipe} is a named pipe, not an image file`);
    await expect(decodeImage(socket)).rejects.toThrow(`${socket} is a socket, not an image file`);
    await expect(decodeImage("/dev/zero")).rejects.toThrow("/dev/zero is a device, not an image file");
    listening.close();
    await rm(folder, { recursive: true });
  });
});

describe("a decoded image with inconsistent fields is refused", () => {
  const good: RasterImage = { width: 3, height: 2, pixels: new Uint8Array(24), hasAlpha: false, nearest: false };
  const bad: [string, object, RegExp][] = [
    ["three channels", { pixels: new Uint8Array(18) }, /has 18 bytes; 3 × 2 pixels need 4 bytes each .*, 24 in all/],
    ["too many rows", { height: 3 }, /has 24 bytes; 3 × 3 pixels need/],
    ["no pixels", { width: 0, pixels: new Uint8Array() }, /has width 0 and height 2; both must be whole numbers/],
    ["a half pixel", { width: 1.5, height: 4 }, /has width 1.5/],
    ["a size that is no number", { width: NaN }, /has width NaN/],
    ["a negative size", { width: -3, height: -2 }, /has width -3/],
    ["a text for a size", { width: "3" }, /both must be whole numbers/],
    ["numbers that are no bytes", { pixels: new Float32Array(24) }, /pixels that are not a Uint8Array/],
    ["a plain array", { pixels: Array(24).fill(0) }, /pixels that are not a Uint8Array/],
    ["no word on alpha", { hasAlpha: undefined }, /needs hasAlpha .* and nearest/],
    ["no word on indices", { nearest: undefined }, /needs hasAlpha .* and nearest/],
  ];
  it.each(bad)("%s", async (_, change, message) => {
    const image = { ...good, ...change };
    await expect(decodeImage(image)).rejects.toThrow(message);
    expect(() => preprocessImage(image, clipPreprocess)).toThrow(message);
    expect(() => augmentImage(image, 8, photoAugment, new Random(1))).toThrow(message);
  });
});
