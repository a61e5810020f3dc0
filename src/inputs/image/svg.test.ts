import { afterEach, expect, it, vi } from "vitest";
import { drawSvg } from "./svg.ts";

afterEach(() => vi.unstubAllEnvs());

it("an SVG is drawn even if NODE_OPTIONS has --input-type, which Node refuses for files", async () => {
  vi.stubEnv("NODE_OPTIONS", "--input-type=module");
  const drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>';
  expect(await drawSvg(Buffer.from(drawing))).toMatchObject({ width: 4, height: 3 });
});
