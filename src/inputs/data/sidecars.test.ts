import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { Sidecars } from "./sidecars.ts";

/** Which of the texts each image is given. */
function match(images: readonly string[], texts: readonly string[], endings = [".txt"]) {
  const sidecars = new Sidecars(
    images,
    texts.map((name) => [name, name]),
  );
  return Object.fromEntries(images.map((image) => [image, sidecars.find(image, endings)]));
}

describe("Sidecars", () => {
  it("has the file of the same stem, whatever dots the name has", () => {
    const images = ["21.10.png", "21.11.png", "v1.2/a.b.jpg", "v1.2/a.c.jpg", "v1.2/a.jpg", "x.TIFF"];
    const texts = ["21.11.txt", "21.10.txt", "v1.2/a.c.txt", "v1.2/a.b.txt", "v1.2/a.txt", "x.TXT"];
    expect(match(images, texts)).toEqual({
      ...{ "21.10.png": "21.10.txt", "21.11.png": "21.11.txt", "v1.2/a.b.jpg": "v1.2/a.b.txt" },
      ...{ "v1.2/a.c.jpg": "v1.2/a.c.txt", "v1.2/a.jpg": "v1.2/a.txt", "x.TIFF": "x.TXT" },
    });
  });

  it("names the file that another's name hides", () => {
    const { hidden } = new Sidecars(
      ["1.jpg"],
      ["a/1.txt", "1.txt", "1.TXT"].map((name) => [name, name] as const),
    );
    expect(hidden).toEqual([{ image: "1.txt", reason: "1.TXT is read in its place; keep one of the two" }]);
  });

  it("has nothing rather than another image's", () => {
    expect(match(["21.10.png", "21.11.png"], ["21.10.txt", "21.txt"])["21.11.png"]).toBeUndefined();
    expect(match(["a.jpg", "a.draft.jpg"], ["a.txt"])["a.draft.jpg"]).toBeUndefined();
    expect(match(["v1.draft.jpg"], ["v1.final.txt"])["v1.draft.jpg"]).toBeUndefined();
    expect(match(["d/a.jpg"], ["a.txt", "e/a.txt"])["d/a.jpg"]).toBeUndefined();
    expect(match(["a.jpg"], ["a.cls.txt", "a.synthetic.txt"])["a.jpg"]).toBeUndefined();
  });

  it("follows webdataset where endings follow a key without dots", () => {
    expect(match(["d.seg.png", "e.left.jpg", "e.right.jpg"], ["d.txt", "e.txt"])).toEqual({
      ...{ "d.seg.png": "d.txt", "e.left.jpg": "e.txt", "e.right.jpg": "e.txt" },
    });
    expect(match(["a.jpg"], ["a.cls.txt", "a.txt", "a.json"], [".txt", ".json"])["a.jpg"]).toBe("a.txt");
    expect(match(["a.jpg"], ["a.txt", "a.synthetic.txt"], [".synthetic.txt"])["a.jpg"]).toBe("a.synthetic.txt");
  });

  it("knows images without an ending, and files named after the whole image", () => {
    expect(match(["noext", "21.10", "b.jpg"], ["noext.txt", "21.10.txt", "21.txt", "b.jpg.txt"])).toEqual({
      ...{ noext: "noext.txt", "21.10": "21.10.txt", "b.jpg": "b.jpg.txt" },
    });
  });

  it("gives every image its own among random names with dots, seed 11", () => {
    const random = new Random(11);
    const part = () => ["a", "b", "2024", "05", "v1", "seg", "x-y"][random.integer(7)]!;
    for (let round = 0; round < 300; round++) {
      const stems = new Set(
        Array.from({ length: 8 }, () => Array.from({ length: 1 + random.integer(3) }, part).join(".")),
      );
      const captioned = [...stems].filter(() => random.integer(3) > 0);
      const found = match(
        Array.from(stems, (stem) => `${stem}.jpg`),
        captioned.map((stem) => `${stem}.txt`),
      );
      for (const stem of stems) {
        const own = captioned.includes(stem) ? `${stem}.txt` : undefined;
        expect(found[`${stem}.jpg`], `${[...stems].join(" ")}: ${stem}`).toBe(own);
      }
    }
  });
});
