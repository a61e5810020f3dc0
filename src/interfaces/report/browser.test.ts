import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { trainPage } from "./train-page.ts";

const browser = "chromium";
const hasBrowser = spawnSync(browser, ["--version"]).status === 0;
if (!hasBrowser) console.log(`${browser} is not installed: the page's script is not run`);

it.skipIf(!hasBrowser)("draws every curve in a real browser, and runs nothing that a caption brought", async () => {
  const folder = await mkdtemp(join(tmpdir(), "clip-page-"));
  try {
    const hostile = `<img src=x onerror="document.title='owned'">`;
    const page = trainPage({
      model: hostile,
      batchSize: 64,
      config: { [hostile]: hostile },
      totals: { steps: 500, pairs: 32_000, durationSeconds: 60, waitingShare: 0, skipped: [] },
      metrics: Array.from({ length: 500 }, (_, i) => ({
        ...{ step: i + 1, epoch: 0, loss: 4 - i / 200, learningRate: 1e-3, gradientNorm: 1, logitScale: 2.7 },
      })),
      validation: [1, 2].map((i) => ({ step: 250 * i, top1: 0.2 * i, top5: 0.4 * i, count: 10, classes: 10 })),
      findings: [{ step: 50, text: hostile }],
      predictions: [],
    });
    // A second barrier is tested too: markup that got in unescaped must still not run.
    await writeFile(
      join(folder, "page.html"),
      page.replace("</main>", `${hostile}<script>document.title='owned'</script></main>`),
    );
    const { stdout: dom } = await promisify(execFile)(
      browser,
      [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        ...[
          "--disable-background-networking",
          "--disable-component-update",
          `--user-data-dir=${join(folder, "profile")}`,
        ],
        ...["--virtual-time-budget=2000", "--dump-dom", pathToFileURL(join(folder, "page.html")).href],
      ],
      { maxBuffer: 2 ** 24 },
    );
    expect(dom.match(/<canvas/g)).toHaveLength(5);
    expect(dom).toContain(`aria-label="Curve: Gradient norm"`);
    expect(dom).not.toContain("<title>owned");
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});
