import { expect, it } from "vitest";
import { byteOfId, characterOfId, idOfByte } from "./byte-alphabet.ts";

it("each byte has one id and one visible character", () => {
  expect(byteOfId.map((byte) => idOfByte[byte])).toEqual(Array.from({ length: 256 }, (_, id) => id));
  expect(new Set(characterOfId).size).toBe(256);
  expect(characterOfId.every((character) => /^[^\p{White_Space}\p{C}]$/u.test(character))).toBe(true);
});

it("printable bytes represent themselves and come first; a space is Ġ, as in published vocabularies", () => {
  expect(characterOfId.slice(0, 4).join("")).toBe('!"#$');
  expect(characterOfId[idOfByte[0x20]!]).toBe("Ġ");
  expect(characterOfId[idOfByte[0x0a]!]).toBe("Ċ");
  expect(characterOfId.at(-1)).toBe("Ń");
});
