import { describe, expect, it } from "vitest";
import { prompts } from "./prompts.ts";
import { defaultTemplates } from "./templates.ts";

describe("prompts", () => {
  it.each([
    ["a photo of a {}", "a cat", "a photo of a cat"],
    ["a photo of a {}", "an apple", "a photo of an apple"],
    ["a photo of a {}", "The Hague", "a photo of The Hague"],
    ["a photo of the {}.", "a  cat", "a photo of a  cat."],
    ["A {}, an {}", "the sea", "the sea, the sea"],
    ["a photo of a {}", "cat", "a photo of a cat"],
    ["a photo of a {}", "apple", "a photo of a apple"],
    ["a photo of a {}", "a", "a photo of a a"],
    ["a photo of a {}", "a4 paper", "a photo of a a4 paper"],
    ["a photo of a {}", "antelope", "a photo of a antelope"],
    ["a photo of {}", "a cat", "a photo of a cat"],
    ["a photo of pizza{}", "a cat", "a photo of pizzaa cat"],
    ["{}", "a cat", "a cat"],
    ["a {}", "a $& {}", "a $& {}"],
  ])("puts into %j the label %j: %j", (template, label, prompt) => {
    expect([...prompts([label], [template])]).toEqual([prompt]);
  });

  it("says no article twice in the default templates", () => {
    const sentences = [...prompts(["a cat", "an owl", "the sea"], defaultTemplates)];
    expect(sentences.filter((sentence) => /\b(?:an?|the) (?:an?|the)\b/.test(sentence))).toEqual([]);
  });
});
