import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compileWat, kernels } from "./compile-wat.ts";

it.each(kernels)("$name: the module in the repository is what its source compiles to", async (kernel) => {
  expect(readFileSync(kernel.module, "utf8")).toBe(await compileWat(kernel));
});
