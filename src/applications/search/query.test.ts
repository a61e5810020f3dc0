import { describe, expect, it } from "vitest";
import { parseTerm, termsOf } from "./query.ts";

describe("parseTerm", () => {
  it.each([
    ["a dog", { text: "a dog" }],
    ["2:golden retriever", { text: "golden retriever", weight: 2 }],
    ["0.5: a dog", { text: "a dog", weight: 0.5 }],
    ["12:30 on a clock", { text: "12:30 on a clock" }],
    ["16:9", { text: "16:9" }],
    ["2:", { text: "2:" }],
  ])("reads %j", (written, term) => expect(parseTerm(written)).toEqual(term));
});

describe("termsOf", () => {
  it("takes a text, a term or several", () => {
    expect(termsOf("a dog")).toEqual([{ text: "a dog", weight: 1 }]);
    expect(termsOf({ image: "dog.jpg", weight: -2 })).toEqual([{ image: "dog.jpg", weight: -2 }]);
    expect(termsOf([{ text: "a" }, { text: "b", weight: 0.5 }])).toHaveLength(2);
  });

  it.each([
    [[], "the query is empty"],
    [{}, "a text or an image"],
    [{ text: "a", image: "b" }, "a text or an image"],
    [" ", "a text of the query is empty"],
    [{ text: "a", weight: 0 }, "a number other than 0, got 0"],
    [{ text: "a", weight: NaN }, "a number other than 0, got NaN"],
  ])("refuses %j", (query, problem) => expect(() => termsOf(query)).toThrow(problem));
});
