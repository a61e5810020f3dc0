import { expect, it } from "vitest";
import { counted, duration, percent, short } from "./numbers.ts";

const spaced = (text: string) => text.replaceAll("\u00a0", " ");

it.each([
  [0, "0.0 %"],
  [0.00001, "< 0.1 %"],
  [0.0005, "0.1 %"],
  [0.1234, "12.3 %"],
  [0.9994, "99.9 %"],
  [0.99999, "> 99.9 %"],
  [1, "100.0 %"],
])("writes the fraction %d as %s: never certain where it is not", (fraction, text) => {
  expect(spaced(percent(fraction))).toBe(text);
});

it.each([
  [41.6, "42 s"],
  [59.7, "1 min 0 s"],
  [725, "12 min 5 s"],
  [3599.9, "1 h 0 min"],
  [7170, "2 h 0 min"],
  [12_000, "3 h 20 min"],
])("writes %d seconds as %s", (seconds, text) => {
  expect(spaced(duration(seconds))).toBe(text);
});

it.each([
  [5.545177, "5.545"],
  [0.0005, "0.0005"],
  [1.6667e-6, "1.667e-6"],
  [0, "0"],
  [NaN, "NaN"],
])("writes %d as %s", (value, text) => {
  expect(short(value)).toBe(text);
});

it("counts in the singular and the plural", () => {
  expect([0, 1, 1234].map((value) => counted(value, "image"))).toEqual(["0 images", "1 image", "1,234 images"]);
});
