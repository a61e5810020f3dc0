import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ClipError, problemOf } from "../../core/errors.ts";

/** What a page shows while it is open. */
export interface LiveContent {
  /** The HTML document; its script listens to the server-sent events of `events`. */
  readonly page: string;
  /** What the document's parts hold now, by name. Asked for while somebody looks, and not otherwise. */
  parts(): Promise<Readonly<Record<string, string>>>;
  /** Told why the parts could not be made; the page then stays as it was. */
  onError(error: unknown): void;
}

/** Least time between two updates. */
const pauseMs = 1000;
/** A browser takes one for the page and one for its updates. */
const maxConnections = 64;
/** How long the last update may take to reach those who look. */
const farewellMs = 1000;

/** As browsers call this machine, on any port: tunnels have their own. */
const ownHost = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/i;

const headers = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "frame-ancestors 'none'",
};

/**
 * A page that shows what changes, for browsers on this machine. Whoever opens it gets all parts as they are, and from then on those
 * that have changed, at most once a second; while nobody looks nothing is made. `await using` sends the last state and closes.
 *
 * It listens on 127.0.0.1 alone, answers GET of its two addresses, and nobody who calls this machine by another name: a page from
 * elsewhere that has its own name point here (DNS rebinding) learns nothing.
 */
export class LivePage implements AsyncDisposable {
  readonly url: string;
  readonly #content: LiveContent;
  readonly #server: Server;
  /** Who looks, with the parts as they were sent. */
  readonly #watchers = new Map<ServerResponse, Record<string, string>>();
  #timer: NodeJS.Timeout | undefined;
  /** Updates are made one after the other. */
  #sending = Promise.resolve();
  #closing = false;

  private constructor(content: LiveContent, server: Server) {
    [this.#content, this.#server] = [content, server];
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    server.on("request", (request, response) => this.#answer(request, response));
  }

  /**
   * @param port - 0 for one that is free.
   * @throws {ClipError} `CLIP_USAGE` if the port cannot be had.
   */
  static async open(content: LiveContent, port = 0): Promise<LivePage> {
    const server = createServer();
    server.maxConnections = maxConnections;
    server.listen(port, "127.0.0.1");
    await once(server, "listening").catch((cause: NodeJS.ErrnoException) => {
      const problem = cause.code === "EADDRINUSE" ? "it is in use" : problemOf(cause);
      const wayOut = "name another, or none for one that is free";
      throw new ClipError("CLIP_USAGE", `cannot listen on port ${port}: ${problem}; ${wayOut}`, { cause });
    });
    return new LivePage(content, server);
  }

  /** Says that parts may have changed. */
  changed(): void {
    if (this.#closing || this.#watchers.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#send();
    }, pauseMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    await this.#send();
    // Who does not take the last state must not keep the process.
    const impatient = setTimeout(() => this.#server.closeAllConnections(), farewellMs);
    const watchers = [...this.#watchers.keys()];
    await Promise.all(watchers.map((watcher) => new Promise((resolve) => watcher.on("close", resolve).end())));
    clearTimeout(impatient);
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #answer({ method, url, headers: { host = "" } }: IncomingMessage, response: ServerResponse): void {
    const answer = (status: number, type: string, body: string, more = {}) =>
      void response.writeHead(status, { ...headers, ...more, "content-type": `${type}; charset=utf-8` }).end(body);
    if (!ownHost.test(host)) answer(403, "text/plain", "This page is for 127.0.0.1 and localhost alone.\n");
    else if (method !== "GET") answer(405, "text/plain", "This page can only be read.\n", { allow: "GET" });
    else if (url === "/") answer(200, "text/html", this.#content.page);
    else if (url === "/events") this.#watch(response);
    else answer(404, "text/plain", "There is nothing here.\n");
  }

  #watch(response: ServerResponse): void {
    response.writeHead(200, { ...headers, "content-type": "text/event-stream" }).flushHeaders();
    this.#watchers.set(response, {});
    response.on("close", () => this.#watchers.delete(response));
    response.on("drain", () => this.changed());
    void this.#send();
  }

  #send(): Promise<void> {
    this.#sending = this.#sending.then(() => this.#sendNews()).catch((error: unknown) => this.#content.onError(error));
    return this.#sending;
  }

  /** To each who looks the parts that are not as they were sent. */
  async #sendNews(): Promise<void> {
    if (this.#watchers.size === 0) return;
    const parts = await this.#content.parts();
    for (const [watcher, sent] of this.#watchers) {
      // Who is slow gets what is new when there is room for it again.
      if (watcher.writableNeedDrain && !this.#closing) continue;
      const news = Object.entries(parts).filter(([name, content]) => sent[name] !== content);
      if (news.length > 0) watcher.write(`data: ${JSON.stringify(Object.fromEntries(news))}\n\n`);
      Object.assign(sent, parts);
    }
  }
}
