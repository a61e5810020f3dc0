import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { examplesOf, onlyClasses, readLabelledImages, relabel } from "./labelled-images.ts";

const root = await temporaryFolder();

/** Files without content: labels are read, not images. */
async function folderOf(name: string, ...paths: string[]): Promise<string> {
  const folder = join(root, name);
  for (const path of paths) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), "");
  }
  return folder;
}
async function tableOf(name: string, ...lines: string[]): Promise<string> {
  await writeFile(join(root, name), lines.join("\n"));
  return join(root, name);
}

describe("readLabelledImages", () => {
  it("takes folders for classes, with the images in them and below", async () => {
    const folder = await folderOf(
      ...(["classes", "dog/a.jpg", "cat/b.PNG", "cat/kittens/a.webp", "cat/notes.txt", "loose.jpg"] as const),
      ...["empty/readme.md", ".cache/c.jpg", "dog/.hidden.jpg"],
    );
    expect(await readLabelledImages(folder)).toEqual({
      classes: ["cat", "dog"],
      samples: [
        { image: join(folder, "cat/b.PNG"), label: 0 },
        { image: join(folder, "cat/kittens/a.webp"), label: 0 },
        { image: join(folder, "dog/a.jpg"), label: 1 },
      ],
      skipped: [{ image: join(folder, "loose.jpg"), reason: "it is in no class folder" }],
    });
  });

  it("takes tables with quoted values, more columns, and an image with several labels", async () => {
    await folderOf("x", "1.jpg");
    const file = await tableOf(
      "labels.csv",
      "split,label,image",
      'test,"cat, tabby",x/1.jpg',
      "test,dog,x/1.jpg",
      "",
      "",
    );
    expect(await readLabelledImages(file)).toEqual({
      classes: ["cat, tabby", "dog"],
      samples: [0, 1].map((label) => ({ image: join(root, "x/1.jpg"), within: root, label })),
      skipped: [],
    });
  });

  it("takes lines of JSON, numbers as labels among them", async () => {
    await folderOf(".", "a.jpg");
    const file = await tableOf(
      "labels.jsonl",
      '{"label": 3, "image": "a.jpg"}',
      "",
      '{"image": "b.jpg", "label": "10"}',
    );
    expect(await readLabelledImages(file)).toEqual({
      classes: ["3", "10"],
      samples: ["a.jpg", "b.jpg"].map((name, label) => ({ image: join(root, name), within: root, label })),
      skipped: [],
    });
  });

  it("says which class has no image that can be used, and leaves out litter", async () => {
    const folder = await folderOf("lost", "cat/a.jpg", "dog/b.heic", "@eaDir/c.jpg", "dog/__MACOSX/._d.jpg");
    const { classes, skipped } = await readLabelledImages(folder);
    expect(classes).toEqual(["cat"]);
    expect(skipped).toEqual([
      { image: join(folder, "dog/b.heic"), reason: "it is empty (0 bytes)" },
      { image: join(folder, "dog"), reason: "it is no class here: none of its images can be used" },
    ]);
  });

  it("leaves out some bad rows, and says so", async () => {
    await folderOf(".", "a.jpg");
    const good = Array.from({ length: 4 }, (_, i) => `a.jpg,${i}`);
    const file = await tableOf("some-bad.csv", "image,label", ...good, "a.jpg", "a.jpg,a,b");
    const { samples, skipped } = await readLabelledImages(file);
    expect(samples).toHaveLength(4);
    expect(skipped).toEqual([
      { image: `${file}, line 6`, reason: '"label" is empty' },
      {
        image: `${file}, line 7`,
        reason: 'it has 3 values for 2 columns; put a value that contains "," into quotation marks',
      },
    ]);
  });

  it("sorts classes that are numbers by number", async () => {
    await folderOf(".", "2.jpg");
    const file = await tableOf("numbers.tsv", "path\tlabel", ...[10, 9, 2].map((label) => `${label}.jpg\t${label}`));
    expect((await readLabelledImages(file)).classes).toEqual(["2", "9", "10"]);
  });

  it.each([
    ["none.csv", [], "cannot read .*none.csv: it does not exist"],
    ["kind.txt", ["a"], "kind.txt: expected a folder of class folders, or a .csv, .tsv or .jsonl"],
    [
      "away.csv",
      ["image,label", "nowhere/a.jpg,cat"],
      "none of the first 1 images that .*away.csv names exists, such as .*/nowhere/a.jpg; paths in it are relative to its own folder",
    ],
    ["column.csv", ["image,name", "a.jpg,cat"], 'column.csv has no column "label"; it has "image", "name"'],
    ["empty.csv", [""], "empty.csv is empty; it must have the columns image, label"],
    ["rows.tsv", ["image\tlabel"], "rows.tsv holds no labelled images: expected rows below the names"],
    ["text.jsonl", ['{"image": "a.jpg", "label": ["cat"]}'], 'text.jsonl, line 1: "label" must be a text'],
    ["gap.jsonl", ['{"image": "a.jpg", "label": 1}', '{"image": "b.jpg"}'], 'gap.jsonl, line 2: "label" is empty'],
    ["blank.csv", ["image,label", "a.jpg,cat", "b.jpg, "], 'blank.csv, line 3: "label" is empty'],
    ["ragged.csv", ["image,label", "a.jpg"], 'ragged.csv, line 2: "label" is empty$'],
  ] as const)("says what is wrong with %s", async (name, lines, message) => {
    const file = lines.length > 0 ? await tableOf(name, ...lines) : join(root, name);
    await expect(readLabelledImages(file)).rejects.toThrow(new RegExp(message));
    await expect(readLabelledImages(file)).rejects.toMatchObject({ code: "CLIP_DATA" });
  });

  it("refuses what is no UTF-8, and a folder without classes", async () => {
    await writeFile(join(root, "latin.csv"), Buffer.from("image,label\na.jpg,caf\xe9\n", "latin1"));
    await expect(readLabelledImages(join(root, "latin.csv"))).rejects.toThrow(
      /latin\.csv, line 2 is not UTF-8; save it as UTF-8/,
    );
    await expect(readLabelledImages(await folderOf("flat", "a.jpg"))).rejects.toThrow(
      /flat holds no labelled images: expected a folder for each class/,
    );
  });
});

const images = (...classes: string[]) => ({
  classes,
  samples: classes.map((name, label) => ({ image: `/${name}.jpg`, label })),
});

describe("onlyClasses", () => {
  it("leaves the other classes' images and names out", () => {
    expect(onlyClasses(images("a", "b", "c"), ["c", "a"], "f")).toEqual({
      classes: ["a", "c"],
      samples: [
        { image: "/a.jpg", label: 0 },
        { image: "/c.jpg", label: 1 },
      ],
    });
  });

  it("says which class there is none of", () => {
    expect(() => onlyClasses(images("a", "b"), ["x"], "f")).toThrow('f asks for the class "x"; the data have a, b');
  });
});

describe("examplesOf", () => {
  const samples = [
    { image: "/run/1/a.jpg", label: 0 },
    { image: "/jump/2/a.jpg", label: 1 },
    { image: "/run/1/b.jpg", label: 0 },
    { image: "/run/1/a.jpg", label: 1 },
  ];

  it("has each image once with all its labels", () => {
    expect(examplesOf(samples, false)).toEqual([
      { name: "/run/1/a.jpg", images: [{ image: "/run/1/a.jpg" }], labels: [0, 1] },
      { name: "/jump/2/a.jpg", images: [{ image: "/jump/2/a.jpg" }], labels: [1] },
      { name: "/run/1/b.jpg", images: [{ image: "/run/1/b.jpg" }], labels: [0] },
    ]);
  });

  it("has the images of a folder as one clip", () => {
    expect(examplesOf(samples, true)).toEqual([
      { name: "/run/1", images: [{ image: "/run/1/a.jpg" }, { image: "/run/1/b.jpg" }], labels: [0, 1] },
      { name: "/jump/2", images: [{ image: "/jump/2/a.jpg" }], labels: [1] },
    ]);
  });
});

describe("relabel", () => {
  it("numbers classes as others do, and names one that is not among them", () => {
    const images = {
      classes: ["cat", "emu"],
      samples: [
        { image: "a", label: 1 },
        { image: "b", label: 0 },
      ],
    };
    expect(relabel(images, ["ant", "cat", "dog", "emu"], "test").map(({ label }) => label)).toEqual([3, 1]);
    expect(() => relabel(images, ["cat", "dog"], "test")).toThrow(
      'test has the class "emu"; those of training are cat, dog',
    );
  });
});
