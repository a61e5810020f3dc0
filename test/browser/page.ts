import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { build, type Rollup } from "vite";
import type * as clipInPage from "../../src/browser.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { serveFolders, type ServerOptions, type TestServer } from "./serve.ts";

/** Debian's; Playwright would fetch another. */
const executablePath = "/usr/bin/chromium";

/** For a test's title: empty where there is a browser, else why the test is skipped. */
export const browserMissing = existsSync(executablePath) ? "" : " (skipped: no Chromium at /usr/bin/chromium)";
if (browserMissing) console.log(`tests in a browser${browserMissing}`);

const repository = fileURLToPath(new URL("../../", import.meta.url));

declare global {
  /** What the page has of this library. */
  var clip: typeof clipInPage;
}

let built: Promise<Rollup.RollupOutput> | undefined;
const output = await temporaryFolder();

/** The page as a bundler makes it of the built package, once. */
export function bundle(): Promise<Rollup.RollupOutput> {
  const root = fileURLToPath(new URL("page", import.meta.url));
  return (built ??= build({
    ...{ root, configFile: false, logLevel: "error" },
    build: { outDir: output, emptyOutDir: true },
  }) as Promise<Rollup.RollupOutput>);
}

/** A page with this library in it, in a browser of its own. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  readonly server: TestServer;
  readonly browser: Browser;
}

/**
 * Opens the page. `assets/` and `fixtures/` are those of the repository, `shared/` the folder beside it.
 *
 * @param flags - for the browser, beside those that keep it to this machine.
 */
export async function openPage(options: ServerOptions = {}, flags: readonly string[] = []): Promise<OpenPage> {
  await bundle();
  const roots = {
    "/repository/": repository,
    "/shared/": join(repository, "../shared/"),
    "/": output,
  };
  const server = await serveFolders(roots, options);
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet, ...flags] });
  const page = await browser.newPage();
  await loadPage(page, server);
  return {
    ...{ page, server, browser },
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
