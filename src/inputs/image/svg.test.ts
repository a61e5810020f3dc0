import { afterEach, expect, it, vi } from "vitest";
import { drawSvg } from "./svg.ts";

afterEach(() => vi.unstubAllEnvs());

it("is drawn where NODE_OPTIONS has a kind of program, which files must not be given", async () => {
  vi.stubEnv("NODE_OPTIONS", "--input-type=module");
  const drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>';
  expect(await drawSvg(Buffer.from(drawing))).toMatchObject({ width: 4, height: 3 });
});
