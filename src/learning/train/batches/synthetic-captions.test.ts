import { expect, it } from "vitest";
import { decoderOf, subCaptions } from "./synthetic-captions.ts";

it.each([
  ["A dog runs. It is brown.", ["A dog runs", "It is brown"]],
  ["Wow!!! A dog... and a cat!.! ", ["Wow", "A dog", "and a cat"]],
  ["Is it a dog? Yes, 3.5 of them", ["Is it a dog? Yes, 3", "5 of them"]],
  ["no stop", ["no stop"]],
  [" ..!", []],
  ["", []],
])("the pieces of %j stand between full stops and exclamation marks", (text, pieces) => {
  expect(subCaptions(text)).toEqual(pieces);
});

it("there is no decoder where writing has no weight", () => {
  expect(decoderOf(undefined)).toBeUndefined();
  expect(decoderOf({ decoderWeight: 0, captionLength: 9 })).toBeUndefined();
  expect(decoderOf({ decoderWeight: 0.5, captionLength: 9 })).toEqual({ length: 9 });
});
