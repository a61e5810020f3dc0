import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

it("memory stays where it is however many images there are", async () => {
  const script = fileURLToPath(new URL("../scripts/flat-memory.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, "--images", "3000"]);
  expect(stdout).toMatch(/^3000 images in .* MB early, \d+ MB at the end/);
});
