import { get, type IncomingMessage, request, type RequestOptions } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, it, vi } from "vitest";
import { type LiveContent, LivePage } from "./live-page.ts";

/** Waits for what comes, however busy the machine is. */
const patiently = { timeout: 20 * 60_000 };

/** A page whose parts the test changes; `asked` counts how often they were asked for. */
function content(parts: Record<string, string>) {
  const asked = vi.fn(() => Promise.resolve({ ...parts }));
  return { page: "<p>the page</p>", parts: asked, onError: vi.fn<LiveContent["onError"]>() };
}

/** An answer to a request as a browser, or somebody else, would make it. */
async function ask(page: LivePage, path = "/", options: RequestOptions = {}) {
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    request(new URL(page.url), { ...options, path }, resolve)
      .on("error", reject)
      .end(),
  );
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** Listens as an EventSource does. */
async function listen(page: LivePage) {
  const response = await new Promise<IncomingMessage>((resolve) => get(new URL("events", page.url), resolve));
  const told: Record<string, string>[] = [];
  response.setEncoding("utf8").on("data", (chunk: string) => {
    for (const [, data] of chunk.matchAll(/^data: (.*)\n\n/gm)) told.push(JSON.parse(data!) as Record<string, string>);
  });
  const ended = new Promise<void>((resolve) => response.on("close", resolve));
  return { response, told, ended };
}

describe("LivePage", () => {
  it("listens on this machine alone, and gives its page to whoever calls it by its own names", async () => {
    await using page = await LivePage.open(content({}));
    expect(page.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    const { port } = new URL(page.url);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "localhost:9000", "LOCALHOST"]) {
      expect(await ask(page, "/", { headers: { host } })).toMatchObject({
        status: 200,
        headers: { "content-type": "text/html; charset=utf-8", "x-content-type-options": "nosniff" },
        body: "<p>the page</p>",
      });
    }
  });

  it("tells nothing to a page from elsewhere that has its own name point here", async () => {
    const secret = content({ loss: "secret" });
    await using page = await LivePage.open({ ...secret, page: "secret" });
    for (const host of ["example.org", "127.0.0.1.example.org", "localhost.example.org:80", "127.0.0.1@example.org"]) {
      for (const path of ["/", "/events"]) {
        const { status, body } = await ask(page, path, { headers: { host } });
        expect([status, body], host).toEqual([403, expect.not.stringContaining("secret")]);
      }
    }
    expect(secret.parts).not.toHaveBeenCalled();
  });

  it("answers GET of its two addresses, and nothing else", async () => {
    await using page = await LivePage.open(content({}));
    for (const method of ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
      expect(await ask(page, "/", { method })).toMatchObject({ status: 405, headers: { allow: "GET" } });
    for (const path of ["/../package.json", "/%2e%2e/package.json", "/events/", "/?a", "//", "/etc/passwd", "*"])
      expect(await ask(page, path), path).toMatchObject({ status: 404, body: "Not found.\n" });
  });

  it("makes nothing while nobody looks; tells who comes all that there is, and then only what has changed", async () => {
    const parts = { loss: "4", notes: "none" };
    const watched = content(parts);
    const page = await LivePage.open(watched);
    page.changed();
    expect(watched.parts).not.toHaveBeenCalled();

    const first = await listen(page);
    await vi.waitFor(() => expect(first.told).toEqual([{ loss: "4", notes: "none" }]), patiently);
    parts.loss = "3\n\ndata: {}";
    for (let i = 0; i < 100; i++) page.changed();
    await vi.waitFor(() => expect(first.told).toHaveLength(2), patiently);
    expect(first.told[1]).toEqual({ loss: "3\n\ndata: {}" });

    const second = await listen(page);
    await vi.waitFor(() => expect(second.told).toEqual([{ loss: "3\n\ndata: {}", notes: "none" }]), patiently);
    // Once for each who came, and once for a hundred changes.
    expect(watched.parts).toHaveBeenCalledTimes(3);

    parts.notes = "ended";
    page.changed();
    await page[Symbol.asyncDispose]();
    await Promise.all([first.ended, second.ended]);
    expect([first.told.at(-1), second.told.at(-1)]).toEqual([{ notes: "ended" }, { notes: "ended" }]);
  });

  it("goes on when the parts could not be made, and says why", async () => {
    const watched = content({ loss: "4" });
    watched.parts.mockRejectedValueOnce(new Error("no metrics"));
    await using page = await LivePage.open(watched);
    const { told } = await listen(page);
    await vi.waitFor(() => expect(watched.onError).toHaveBeenCalledExactlyOnceWith(new Error("no metrics")), patiently);
    page.changed();
    await vi.waitFor(() => expect(told).toEqual([{ loss: "4" }]), patiently);
  });

  it("neither collects what a browser does not take, nor waits for it at the end", async () => {
    const parts = { number: "0", large: "x".repeat(2 ** 25) };
    const page = await LivePage.open(content(parts));
    const { response, told } = await listen(page);
    response.pause();
    const start = performance.now();
    await page[Symbol.asyncDispose]();
    const waited = performance.now() - start;
    expect(waited).toBeGreaterThan(900);
    expect(told).toEqual([]);
    response.destroy();
  });

  it("says so when the port cannot be had", async () => {
    await using page = await LivePage.open(content({}));
    const port = Number(new URL(page.url).port);
    await expect(LivePage.open(content({}), port)).rejects.toMatchObject({
      code: "CLIP_USAGE",
      message: `cannot listen on port ${port}: it is in use; choose another, or omit it for a free one`,
    });
  });
});
