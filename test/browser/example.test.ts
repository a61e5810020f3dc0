import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { browserMissing, openPage } from "./page.ts";

const root = fileURLToPath(new URL("../../examples/browser", import.meta.url));

it.skipIf(browserMissing)(`the example names a sample, a file, and by new labels${browserMissing}`, async () => {
  await using opened = await openPage({ root });
  const { page, complaints } = opened;
  const best = page.locator("#answers .best bdi");
  await expect.poll(() => best.textContent()).toBe("rocket");
  await page.getByRole("button", { name: "snail" }).click();
  await expect.poll(() => best.textContent()).toBe("snail");
  const guitar = fileURLToPath(new URL("../../assets/samples/guitar.png", import.meta.url));
  await page.locator("#file").setInputFiles(guitar);
  await expect.poll(() => best.textContent()).toBe("guitar");
  await page.locator("#labels").fill("a musical instrument\na vehicle");
  await expect.poll(() => best.textContent()).toBe("a musical instrument");
  // Chromium's own line where there is no graphics processor.
  expect(complaints.filter((line) => !line.startsWith("warning: No available adapters."))).toEqual([]);
  await page.locator("#model").fill("./nowhere/");
  await page.getByRole("button", { name: "Load" }).click();
  await expect.poll(() => page.locator("#status").textContent()).toContain("nowhere/ has no weights");
});
