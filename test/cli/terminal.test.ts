import { describe, expect, it } from "vitest";
import { describeSkip } from "../../src/interfaces/cli/output.ts";
import { table } from "../../src/interfaces/cli/terminal.ts";

describe("a table", () => {
  it("has a column of numbers to the right, and no other", () => {
    const rows = [
      ["steps", "8", "12.0 %", "2e-4, as there"],
      ["lockText", "true", "–", "as you said"],
    ];
    expect(table(["setting", "value", "share", "because"], rows).split("\n")).toEqual([
      "setting   value  share   because",
      "steps     8      12.0 %  2e-4, as there",
      "lockText  true        –  as you said",
    ]);
  });
});

describe("a skipped image", () => {
  it.each([
    ["a.jpg", "a.jpg is damaged", "a.jpg is damaged"],
    ["a.jpg", "its caption is empty", "a.jpg: its caption is empty"],
    ["a\n.jpg", "it has no caption", "a\\u000a.jpg: it has no caption"],
  ])("is named once: %j, %j", (image, reason, line) => expect(describeSkip({ image, reason })).toBe(line));
});
