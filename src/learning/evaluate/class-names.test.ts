import { describe, expect, it } from "vitest";
import { areWordNetIds, classLabel, classLines, nameClasses } from "./class-names.ts";

const images = (...classes: string[]) => ({
  classes,
  samples: classes.map((name, label) => ({ image: `/${name}.jpg`, label })),
});
/** What each of the data's classes is called. */
function namesOf(classes: readonly string[], lines: readonly string[]): Record<string, unknown> {
  const named = nameClasses(images(...classes), lines, "f");
  return Object.fromEntries(named.samples.map(({ image, label }) => [image.slice(1, -4), named.classes[label]]));
}

describe("nameClasses", () => {
  it("names in the order of the data's classes", () => {
    expect(nameClasses(images("n01", "n02"), ["tench", "goldfish"], "f")).toEqual({
      ...images("n01", "n02"),
      classes: ["tench", "goldfish"],
      own: ["n01", "n02"],
    });
  });

  it("names by number where the data have numbers, and keeps classes without an image", () => {
    const { classes, own, samples } = nameClasses(images("1", "3"), ["zero", "one", "two", "three"], "f");
    expect(samples.map(({ label }) => classes[label])).toEqual(["one", "three"]);
    expect([classes.length, own]).toEqual([4, ["0", "1", "2", "3"]]);
  });

  it("names by the data's own names before a tab, of which there may be more", () => {
    const lines = ["n03\tshark", "n01\ttench|fish", "n02\tgoldfish"];
    expect(nameClasses(images("n01", "n02"), lines, "f").classes).toEqual([["tench", "fish"], "goldfish"]);
  });

  it("finds a class by its own name, in whatever order the names stand, and by one name of several", () => {
    expect(namesOf(["annual_crop", "Forest"], ["forest", "river", "annual crop"])).toEqual({
      ...{ annual_crop: "annual crop", Forest: "forest" },
    });
    expect(namesOf(["happy", "sad"], ["sad|depressed", "joyful|happy"])).toEqual({
      ...{ happy: ["joyful", "happy"], sad: ["sad", "depressed"] },
    });
    const { own } = nameClasses(images("Forest"), ["river", "forest"], "f");
    expect(own).toEqual(["river", "Forest"]);
  });

  it("takes CLEVR's counts for names, since they are no numbers of lines", () => {
    const counts = ["10", "3", "4", "5", "6", "7", "8", "9"];
    expect(namesOf(["3", "4", "5", "6", "7", "8", "9", "10"], counts)).toEqual(
      Object.fromEntries(counts.map((count) => [count, count])),
    );
  });

  it.each([
    [["a", "b"], ["x"], /^f has 1 classes, but the data have 2 \(a, b, …\); write a line for each, or write/],
    [["0", "2"], ["x", "y"], /^f has 2 classes, counted from 0, but the data have class 2$/],
    [["a", "b"], ["a\tx"], /^f has no line for the class "b"$/],
    // Five of CLEVR's eight: as a number 3 is the fourth line, "5".
    [
      ["3", "4"],
      ["10", "3", "4", "5", "6"],
      /^the class 3 is ambiguous in f: by name line 2, by number, .* line 4; write/,
    ],
  ])("refuses names that do not fit: %j %j", (classes, lines, message) => {
    expect(() => nameClasses(images(...classes), lines, "f")).toThrow(message);
  });

  it("goes by the order of the data's classes only where that is trusted", () => {
    const lines = ["tench", "goldfish"];
    const name = (...classes: string[]) => nameClasses(images(...classes), lines, "f", areWordNetIds).classes;
    expect(name("n01440764", "n01443537")).toEqual(lines);
    expect(() => name("Goldfische", "Schleien")).toThrow(/their order is arbitrary; write the data's class, a tab/);
  });
});

describe("a file of names", () => {
  it("has a class a line, with several names between bars", () => {
    const lines = classLines("angry\r\nhappy | smiling\nsurprised|shocked|spooked\n\n", "f");
    expect(lines.map(classLabel)).toEqual(["angry", ["happy", "smiling"], ["surprised", "shocked", "spooked"]]);
  });

  it("is refused with a blank line, below which all would be other classes", () => {
    expect(() => classLines("a\n \nb\n", "f")).toThrow(/^f, line 2 is blank/);
    expect(() => classLines("\n", "f")).toThrow(/^f is empty; it must have a line for each class/);
  });
});
