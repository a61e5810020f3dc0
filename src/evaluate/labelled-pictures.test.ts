import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { readLabelledPictures, relabel } from "./labelled-pictures.ts";

const root = await temporaryFolder();

/** An empty file; what is in pictures is not looked at. */
async function put(path: string, content = ""): Promise<string> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
  return join(root, path);
}

describe("readLabelledPictures", () => {
  it("takes the folders of a folder for classes, by name, and what is no picture for none", async () => {
    const images = await Promise.all(
      ["pets/dog/b.JPG", "pets/dog/old/a.png", "pets/cat/1.webp"].map((path) => put(path)),
    );
    await Promise.all(["pets/dog/notes.txt", "pets/readme.md", "pets/.cache/x.png"].map((path) => put(path)));
    expect(await readLabelledPictures(join(root, "pets"))).toEqual({
      classes: ["cat", "dog"],
      samples: [
        { image: images[2], label: 0 },
        { image: images[0], label: 1 },
        { image: images[1], label: 1 },
      ],
    });
  });

  it("reads a table's columns image and label, in its order, paths from its folder", async () => {
    const table = await put("pets.csv", '\ufeffid,label,image\r\n1,"dog, small",dog/a.png\r\n2,cat,/far/b.png\r\n');
    expect(await readLabelledPictures(table)).toEqual({
      classes: ["cat", "dog, small"],
      samples: [
        { image: join(root, "dog/a.png"), label: 1 },
        { image: "/far/b.png", label: 0 },
      ],
    });
  });

  it.each([
    ["no.csv", undefined, "cannot be opened; name a folder of class folders, or a .csv"],
    ["names.csv", "path,class\na.png,cat\n", 'has no column "image"; it has path, class'],
    ["empty.csv", "image,label\n", 'has no column "image"; it has none'],
    ["hole.csv", "image,label\na.png,cat\nb.png,\n", "row 2: image or label is empty"],
    ["uneven.csv", "image,label\na.png\n", "is no table separated by commas"],
    [
      "one.csv",
      "image,label\na.png,cat\n",
      'pictures of 1 classes, and needs two: different values in the column "label"',
    ],
  ])("refuses %s", async (name, content, message) => {
    const path = content === undefined ? join(root, name) : await put(name, content);
    await expect(readLabelledPictures(path)).rejects.toMatchObject({
      code: "CLIP_DATA",
      message: expect.stringContaining(message) as string,
    });
  });

  it("refuses a class without pictures, and a folder without classes", async () => {
    await put("hollow/cat/a.png");
    await put("hollow/dog/a.txt");
    await expect(readLabelledPictures(join(root, "hollow"))).rejects.toThrow(/hollow\/dog has no pictures/);
    await put("flat/a.png");
    await expect(readLabelledPictures(join(root, "flat"))).rejects.toThrow(/0 classes.*a folder in it for each class/);
  });
});

describe("relabel", () => {
  it("numbers classes as others do, and names one that is not among them", () => {
    const pictures = {
      classes: ["cat", "emu"],
      samples: [
        { image: "a", label: 1 },
        { image: "b", label: 0 },
      ],
    };
    expect(relabel(pictures, ["ant", "cat", "dog", "emu"], "test").map(({ label }) => label)).toEqual([3, 1]);
    expect(() => relabel(pictures, ["cat", "dog"], "test")).toThrow(
      'test has the class "emu"; those of training are cat, dog',
    );
  });
});
