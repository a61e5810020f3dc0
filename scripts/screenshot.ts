/**
 * Takes the image of examples/browser that the README shows, docs/browser.png, in Debian's Chromium: `npx tsx scripts/screenshot.ts`
 * after `npm run build`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build } from "vite";
import { serveFolders } from "../test/browser/serve.ts";

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const outDir = await mkdtemp(join(tmpdir(), "clip-ts-page-"));
await build({ root: path("examples/browser"), logLevel: "error", build: { outDir } });
const server = await serveFolders({ "/": outDir }, { isolated: true });
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1000, height: 830 } });
await page.goto(server.url);
await page.locator("#answers .best").waitFor();
await page.locator("#labels").fill("a bicycle\na musical instrument\nsomething to eat\na house\na red car\nan animal");
await page.getByRole("button", { name: "guitar" }).click();
await page.locator("#answers .best", { hasText: "instrument" }).waitFor();
await page.screenshot({ path: path("docs/browser.png") });
await browser.close();
await server.close();
await rm(outDir, { recursive: true });
