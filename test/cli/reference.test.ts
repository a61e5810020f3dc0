import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { cliReference } from "../../scripts/make-cli-docs.ts";

it("docs/cli.md says what the commands say; if not, run scripts/make-cli-docs.ts", async () => {
  expect(readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8")).toBe(await cliReference());
});
