import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { build, type Rollup } from "vite";
import type * as clipInPage from "../../src/browser.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { serveFolders, type ServerOptions, type TestServer } from "./serve.ts";

/** Debian's; Playwright would fetch another. */
export const executablePath = "/usr/bin/chromium";

/** For a test's title: empty where there is a browser, else why the test is skipped. */
export const browserMissing = existsSync(executablePath) ? "" : " (skipped: no Chromium at /usr/bin/chromium)";
if (browserMissing) console.log(`tests in a browser${browserMissing}`);

const repository = fileURLToPath(new URL("../../", import.meta.url));

declare global {
  /** What the page has of this library. */
  var clip: typeof clipInPage;
}

const bundles = new Map<string, { output: Promise<Rollup.RollupOutput>; folder: string }>();
const folder = await temporaryFolder();

/** The page of most tests. */
const testPage = fileURLToPath(new URL("page", import.meta.url));

/** A page as a bundler makes it of the built package, once. */
export function bundle(root = testPage): { output: Promise<Rollup.RollupOutput>; folder: string } {
  let bundled = bundles.get(root);
  if (!bundled) {
    const outDir = join(folder, String(bundles.size));
    const output = build({ root, logLevel: "error", build: { outDir } }) as Promise<Rollup.RollupOutput>;
    bundles.set(root, (bundled = { output, folder: outDir }));
  }
  return bundled;
}

/** A page with this library in it, in a browser of its own. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  readonly server: TestServer;
  readonly browser: Browser;
  /** What the page and its workers wrote into the console since it was opened, and answers of 400 and more. */
  readonly complaints: readonly string[];
}

/** How a page is opened. */
interface PageOptions extends ServerOptions {
  /** Its folder. Default: one that only has the library in it. */
  readonly root?: string;
  /** A folder that is `made/` under the page. */
  readonly made?: string;
  /** For the browser, beside those that keep it to this machine. */
  readonly flags?: readonly string[];
}

/** Opens a page. Under it, `repository/` is this repository, and `shared/` the folder beside it. */
export async function openPage({ root, made, flags = [], ...options }: PageOptions = {}): Promise<OpenPage> {
  const { output, folder } = bundle(root);
  await output;
  const roots = {
    "/repository/": repository,
    "/shared/": join(repository, "../shared/"),
    ...(made && { "/made/": made }),
    "/": folder,
  };
  const server = await serveFolders(roots, options);
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const browser = await chromium.launch({ executablePath, timeout: 0, args: ["--no-sandbox", ...quiet, ...flags] });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
  });
  await (root === undefined ? loadPage(page, server) : page.goto(server.url));
  return {
    ...{ page, server, browser, complaints },
    async [Symbol.asyncDispose]() {
      await browser.close();
      await server.close();
    },
  };
}

/** Loads the page, or loads it again. */
export async function loadPage(page: Page, { url }: TestServer): Promise<void> {
  await page.goto(url);
  await page.waitForFunction(() => "clip" in globalThis);
}
