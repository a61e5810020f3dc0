import { describe, expect, it } from "vitest";
import { formatMerges, parseMerges } from "./merges-file.ts";

describe("a file of merges", () => {
  it("is read back unchanged, also with Windows line endings", () => {
    const merges = ["t h", "th e</w>"];
    expect(formatMerges(merges)).toBe("#version: 0.2\nt h\nth e</w>\n");
    expect(parseMerges(formatMerges(merges))).toEqual(merges);
    expect(parseMerges("#version: 0.2\r\nt h\r\nth e</w>")).toEqual(merges);
    expect(parseMerges(formatMerges([]))).toEqual([]);
  });

  it.each([
    ["", 'begins with the line "#version: 0.2", but this one with ""'],
    ["t h\n", 'this one with "t h"'],
    ["#version: 0.2\nt h\n\nth e</w>\n", 'line 3 of the merges is ""'],
    ["#version: 0.2\nt h e\n", 'line 2 of the merges is "t h e"; it should be two tokens separated by a space'],
  ])("is refused as %j, with the place", (file, problem) => {
    expect(() => parseMerges(file)).toThrow(
      expect.objectContaining({ code: "CLIP_TEXT", message: expect.stringContaining(problem) as string }),
    );
  });
});
