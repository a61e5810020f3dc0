import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ClipError, problemOf } from "../../core/errors.ts";

/** Contents of a {@link LivePage}. */
export interface LiveContent {
  /** HTML document whose script listens to server-sent events at `events`. */
  readonly page: string;
  /** Current contents of the parts, by name. Called only while a browser is connected. */
  parts(): Promise<Readonly<Record<string, string>>>;
  /** Called if `parts` fails; the page then remains unchanged. */
  onError(error: unknown): void;
}

/** Minimum time between two updates. */
const pauseMs = 1000;
/** A browser uses two, one for the page and one for its updates. */
const maxConnections = 64;
/** Time limit for sending the last update. */
const farewellMs = 1000;

/** Allowed Host headers, on any port, since tunnels use other ports. */
const ownHost = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/i;

const headers = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "frame-ancestors 'none'",
};

/**
 * Serves a live page to browsers on this machine. A browser gets all parts when it connects, then changed ones at most once a
 * second. Declare it with `await using`, which sends the last state and closes.
 *
 * It listens only on 127.0.0.1, answers GET at two addresses, and refuses other host names, which prevents DNS rebinding.
 */
export class LivePage implements AsyncDisposable {
  readonly url: string;
  readonly #content: LiveContent;
  readonly #server: Server;
  /** Connected browsers, with the parts that they have. */
  readonly #watchers = new Map<ServerResponse, Record<string, string>>();
  #timer: NodeJS.Timeout | undefined;
  /** The last update; updates are sequential. */
  #sending = Promise.resolve();
  #closing = false;

  private constructor(content: LiveContent, server: Server) {
    [this.#content, this.#server] = [content, server];
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    server.on("request", (request, response) => this.#answer(request, response));
  }

  /**
   * @param port - 0 chooses a free one.
   * @throws {ClipError} `CLIP_USAGE` if the port is not available.
   */
  static async open(content: LiveContent, port = 0): Promise<LivePage> {
    const server = createServer();
    server.maxConnections = maxConnections;
    server.listen(port, "127.0.0.1");
    await once(server, "listening").catch((cause: NodeJS.ErrnoException) => {
      const problem = cause.code === "EADDRINUSE" ? "it is in use" : problemOf(cause);
      const wayOut = "choose another, or omit it for a free one";
      throw new ClipError("CLIP_USAGE", `cannot listen on port ${port}: ${problem}; ${wayOut}`, { cause });
    });
    return new LivePage(content, server);
  }

  /** Schedules an update of changed parts. */
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
    // A browser that does not read the last state must not keep the process alive.
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
    if (!ownHost.test(host)) answer(403, "text/plain", "This page is only for 127.0.0.1 and localhost.\n");
    else if (method !== "GET") answer(405, "text/plain", "Only GET is allowed.\n", { allow: "GET" });
    else if (url === "/") answer(200, "text/html", this.#content.page);
    else if (url === "/events") this.#watch(response);
    else answer(404, "text/plain", "Not found.\n");
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

  /** Sends each browser the parts that have changed for it. */
  async #sendNews(): Promise<void> {
    if (this.#watchers.size === 0) return;
    const parts = await this.#content.parts();
    for (const [watcher, sent] of this.#watchers) {
      // A slow browser gets the changes once its buffer has drained.
      if (watcher.writableNeedDrain && !this.#closing) continue;
      const news = Object.entries(parts).filter(([name, content]) => sent[name] !== content);
      if (news.length > 0) watcher.write(`data: ${JSON.stringify(Object.fromEntries(news))}\n\n`);
      Object.assign(sent, parts);
    }
  }
}
