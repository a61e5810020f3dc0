import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium, type Page } from "playwright-core";
import { afterAll, describe, expect, it } from "vitest";
import { browserMissing, executablePath } from "../browser/page.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { drawShapes, tinyRun } from "../train/tiny-run.ts";
import { call } from "./call.ts";
import { start } from "./spawn.ts";

const root = await temporaryFolder();
const images = await drawShapes(join(root, "images"), 16);
const children: ChildProcess[] = [];
afterAll(() => children.forEach((child) => child.kill("SIGKILL")));

/** A run that is validated every 50 steps, as a file. */
async function writeRun(name: string, change: object): Promise<string> {
  const file = join(root, `${name}.json`);
  const run = { validation: images, validateEvery: 50, saveEvery: 50, ...change };
  await writeFile(file, JSON.stringify(tinyRun(images, run)));
  return file;
}

/** Starts a run that is shown live, and gives the address that it prints. */
async function startWatched(file: string, out: string, ...args: string[]) {
  const child = start(["train", file, "--out", out, "--watch", ...args]);
  children.push(child);
  const exited = once(child, "exit") as Promise<[number | null, string | null]>;
  const lines = createInterface(child.stderr!);
  for await (const line of lines) {
    const [, url] = /^watch {3}(http:\S+)$/.exec(line) ?? [];
    if (url !== undefined) {
      lines.on("line", () => undefined).resume();
      return { child, url, exited };
    }
  }
  throw new Error("the process ended without an address");
}

/** What the page holds when the run has ended: each part as it was told last. */
async function allTold(url: string): Promise<Record<string, string>> {
  const text = await (await fetch(new URL("events", url))).text();
  const events = Array.from(text.matchAll(/^data: (.*)$/gm), ([, data]) => JSON.parse(data!) as Record<string, string>);
  return Object.assign({}, ...events) as Record<string, string>;
}

describe("clip-ts train --watch", () => {
  it("ends with the training though a page is open, which is told so", async () => {
    const out = join(root, "short");
    const { url, exited } = await startWatched(await writeRun("short", { steps: 60 }), out);
    const last = await allTold(url);
    expect(await exited).toEqual([0, null]);
    expect(last["outcome"]).toBe(`The run has ended. Its report is ${join(out, "report.html")}.`);
    expect(last["position"]).toContain("Step 60 of 60, epoch 29.");
    const [loss] = JSON.parse(last["points"]!) as { steps: number[] }[];
    expect(loss!.steps).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(last["predictions"]!.match(/<img src="data:image\//g)).toHaveLength(16);
  });

  it("tells why a run failed", async () => {
    const file = await writeRun("failing", { steps: 60, learningRate: 1e30 });
    const { url, exited } = await startWatched(file, join(root, "failing"));
    expect((await allTold(url))["outcome"]).toMatch(/^The run failed: the (?:loss|gradient norm) is \S+ at step \d+/);
    expect(await exited).toEqual([1, null]);
  });

  it("refuses a port that is none", async () => {
    const { code, err } = await call(["train", "run.json", "--watch", "65536"]);
    expect([code, err]).toEqual([2, expect.stringContaining("It must be a whole number from 1 to 65535.")]);
  });

  it.skipIf(browserMissing)(
    `draws what happens in a browser, from the first step after a reload too, and goes on when a killed run does${browserMissing}`,
    async () => {
      const [file, out] = [await writeRun("long", { steps: 1_000_000 }), join(root, "long")];
      const { child, url, exited } = await startWatched(file, out);
      const browser = await chromium.launch({ executablePath, timeout: 0, args: ["--no-sandbox"] });
      try {
        const page = await browser.newPage();
        page.setDefaultTimeout(0);
        const problems: string[] = [];
        page.on("pageerror", ({ message }) => problems.push(message));
        await page.goto(url);
        await waitForStep(page, 60);
        await page.locator("#predictions .card img").nth(15).waitFor();
        expect(await page.locator("#state").textContent()).toBe("Live");
        expect(await page.title()).toBe("0 % · long");

        await page.reload();
        await waitForStep(page, 60);
        expect((await stepsOf(page))[0]).toBe(1);

        child.kill("SIGKILL");
        await exited;
        const state = page.locator("#state");
        await state.filter({ hasText: "No answer" }).waitFor();
        const met = (await stepsOf(page)).at(-1)!;

        const again = await startWatched(file, out, new URL(url).port, "--resume");
        expect(again.url).toBe(url);
        await state.filter({ hasText: "Live" }).waitFor();
        await waitForStep(page, met + 50);
        expect((await stepsOf(page))[0]).toBe(1);
        again.child.kill("SIGINT");
        await state.filter({ hasText: "Ended" }).waitFor();
        expect(await page.locator("#position").textContent()).toContain("The run was stopped after step");
        expect(await again.exited).toEqual([130, null]);
        expect(problems).toEqual([]);
      } finally {
        await browser.close();
      }
    },
  );
});

/** What the page's script calls its plots. */
declare const plots: readonly { readonly data: readonly (readonly number[])[] }[];
/** The steps of the first one. */
const stepsOf = (page: Page) => page.evaluate(() => plots[0]!.data[0]!);
const waitForStep = (page: Page, step: number) =>
  expect.poll(async () => (await stepsOf(page)).at(-1)).toBeGreaterThanOrEqual(step);
