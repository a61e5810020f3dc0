import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type DataReport } from "../../src/inputs/data/check-data.ts";
import type { SkippedImage } from "../../src/inputs/data/image-files.ts";
import { readPairs } from "../../src/inputs/data/pairs.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { drawShapes } from "../train/tiny-run.ts";
import { call } from "./call.ts";

let root: string;
let images: string;
beforeAll(async () => {
  root = await temporaryFolder();
  images = await drawShapes(join(root, "images"), 12);
});

const documentOf = (out: string) =>
  JSON.parse(out) as { data: string; results: DataReport; skipped: readonly SkippedImage[] };

/** The images, with something wrong in every way. */
async function spoiled(): Promise<string> {
  const folder = await drawShapes(join(root, "spoiled"), 12);
  await writeFile(join(folder, "0.png"), (await readFile(join(folder, "0.png"))).subarray(0, 100));
  await writeFile(join(folder, "1.png"), "no image");
  await writeFile(join(folder, "2.txt"), Buffer.from("ein gr\xfcner Kreis", "latin1"));
  await writeFile(join(folder, "3.txt"), "");
  await copyFile(join(folder, "5.png"), join(folder, "6.png"));
  await writeFile(join(folder, "7.txt"), "a red square\n" + "very ".repeat(90));
  return folder;
}

describe("clip-ts data check", () => {
  it("says what is there, what cannot be used and why, and what to know", async () => {
    const folder = await spoiled();
    const { code, out } = await call(["data", "check", folder, "--json"]);
    expect(code).toBe(0);
    const { data, skipped, results: report } = documentOf(out);
    expect([data, skipped.length]).toEqual([folder, 4]);
    expect(report).toMatchObject({
      pairs: 8,
      width: { min: 24, median: 24, max: 24, bins: [8] },
      repeatedImages: 1,
      captions: { count: 9, distinct: 8, tooLong: 1, shared: [{ caption: "a red square", images: 2 }] },
    });
    expect(report.reasons).toEqual([
      { reason: "captions that are not UTF-8", count: 1 },
      { reason: "its caption is empty", count: 1 },
      { reason: "it is damaged or cut short", count: 1 },
      { reason: "it is text, not an image", count: 1 },
    ]);
    expect(report.captions.tokens.bins.reduce((sum, n) => sum + n)).toBe(9);
    expect(report.notes).toEqual([
      "4 of 12 cannot be used; see the reasons before you train on the rest.",
      "1 of 9 captions are longer than 77 tokens, and their ends will be cut off.",
      "1 images repeat an earlier one, to the pixel; make sure that none is in the validation set too.",
    ]);
    const text = await call(["data", "check", folder]);
    expect(text.out).toMatch(/^pairs {5}8, and 4 skipped\n/);
    expect(text.out).toContain(`  ${join(folder, "3.png")}: its caption is empty\n`);
  });

  it("has nothing to say of good pairs", async () => {
    const { out } = await call(["data", "check", images]);
    expect(out.split("\n")).toEqual([
      "pairs     12, and 0 skipped",
      "width     24 to 24 pixels, median 24",
      "height    24 to 24 pixels, median 24",
      "captions  12, 12 different",
      expect.stringMatching(/^length {4}5 to \d tokens, median 5; 0 longer than 77$/),
    ]);
  });

  it("takes a class folder with one image, and says so; and a folder that is one class alone", async () => {
    const classes = join(root, "classes");
    for (const [name, count] of Object.entries({ circle: 3, square: 2, bar: 1 })) {
      await mkdir(join(classes, name), { recursive: true });
      for (let i = 0; i < count; i++) await copyFile(join(images, `${i}.png`), join(classes, name, `${i}.png`));
    }
    const check = async (folder: string) => {
      const { out } = await call(["data", "check", folder, "--class-template", "a {}", "--json"]);
      return documentOf(out).results;
    };
    const report = await check(classes);
    expect(report.captions.shared).toEqual([
      { caption: "a circle", images: 3 },
      { caption: "a square", images: 2 },
    ]);
    expect(report.notes).toContain("1 of 3 captions have one image only, where the others have several.");
    expect((await call(["data", "check", classes])).err).toContain(
      '; or, if its folders are classes, set classTemplates: clip-ts data check and clip-ts data pack take --class-template "a photo of a {}")',
    );
    const alone = await call(["data", "check", join(classes, "circle"), "--class-template", "a {}"]);
    expect(alone).toMatchObject({ code: 1 });
    expect(alone.err).toMatch(/expected folders of images.*all 3 were skipped \(.*0\.png: it is in no class folder\)/);
    await mkdir(join(root, "one-class"));
    await rename(join(classes, "circle"), join(root, "one-class", "circle"));
    expect((await check(join(root, "one-class"))).notes[0]).toMatch(/^All images have the same caption/);
  });

  it("writes a page with a contact sheet, in which nothing of a caption becomes markup", async () => {
    const folder = await drawShapes(join(root, "hostile"), 4);
    await writeFile(join(folder, "0.txt"), "<script>alert(1)</script>");
    const page = join(root, "page.html");
    expect(await call(["data", "check", folder, "--html", page])).toMatchObject({ code: 0, err: `wrote ${page}` });
    const html = await readFile(page, "utf8");
    expect(html.match(/<img /g)).toHaveLength(4);
    expect(html).toContain("&lt;script&gt;alert(1)");
    expect(html).not.toContain("<script>");
  });

  it("names the columns that there are", async () => {
    const table = join(root, "table.csv");
    await writeFile(table, "file,text\na.png,b\n");
    const { code, err } = await call(["data", "check", table, "--image-column", "file", "--caption-column", "label"]);
    expect(code).toBe(1);
    expect(err).toBe(
      `clip-ts data check: ${table} has no column "label"; it has "file", "text"; set captionColumn (--caption-column) to one of them`,
    );
  });
});

describe("clip-ts data pack", () => {
  it("writes shards that hold the same files, shuffled alike each time, and that other programs read", async () => {
    const [out, again] = [join(root, "shards"), join(root, "shards-again")];
    const { code, out: text } = await call(["data", "pack", images, out, "--shard-size", "5"]);
    expect(code).toBe(0);
    expect(text.split("\n").map((line) => line.replace(/, [\d.]+ MB$/, ""))).toEqual(
      [5, 5, 2].map((pairs, i) => `${join(out, `00000${i}.tar`)}  ${pairs} pairs`),
    );
    await call(["data", "pack", images, again, "--shard-size", "5"]);
    const files: string[] = [];
    for (const name of await readdir(out)) {
      expect(await readFile(join(again, name))).toEqual(await readFile(join(out, name)));
      execFileSync("tar", ["-C", root, "-xf", join(out, name)]);
      files.push(
        ...execFileSync("tar", ["-tf", join(out, name)], { encoding: "utf8" })
          .trim()
          .split("\n"),
      );
    }
    expect(files).toHaveLength(24);
    const pairOf = async (folder: string, key: string) =>
      `${await readFile(join(folder, `${key}.txt`), "utf8")}${(await readFile(join(folder, `${key}.png`))).toString("base64")}`;
    const keys = files.filter((name) => name.endsWith(".png")).map((name) => name.slice(0, -4));
    const packed = await Promise.all(keys.map((key) => pairOf(root, key)));
    const given = await Promise.all(Array.from({ length: 12 }, (_, i) => pairOf(images, `${i}`)));
    expect([...packed].sort()).toEqual([...given].sort());
    expect(packed).not.toEqual(given);

    const report = documentOf((await call(["data", "check", out, "--json"])).out);
    expect(report).toMatchObject({ skipped: [], results: { pairs: 12, captions: { distinct: 12 } } });
    // A shard that ends in the middle loses its end, and says so.
    await truncate(join(out, "000000.tar"), 5000);
    const cut = documentOf((await call(["data", "check", out, "--json"])).out).results;
    expect(cut.pairs).toBeLessThan(12);
    expect(cut.reasons).toContainEqual({ reason: "the shard is cut or damaged", count: 1 });
  });

  it("leaves out what cannot be read, and says so", async () => {
    const table = join(root, "some.csv");
    await writeFile(table, "image,caption\nimages/0.png,one\nnowhere.png,two\n");
    const { code, out, err } = await call(["data", "pack", table, join(root, "some")]);
    expect(code).toBe(0);
    expect(out).toMatch(/000000\.tar {2}1 pair,/);
    expect(err).toBe(`skipped: ${join(root, "nowhere.png")} does not exist; check the path`);
  });

  it("packs synthetic captions where their column is named, so that they are found without", async () => {
    const table = join(root, "described.csv");
    await writeFile(table, "image,caption,long\nimages/0.png,one,One. Two!\nimages/1.png,two,\n");
    const out = join(root, "described");
    expect(await call(["data", "pack", table, out, "--synthetic-column", "long"])).toMatchObject({ code: 0 });
    const { samples } = await readPairs(out, { synthetic: true });
    const texts = samples.map(({ captions, synthetic }) => [...captions, synthetic]).sort();
    expect(texts).toEqual([
      ["one", "One. Two!"],
      ["two", undefined],
    ]);
    expect((await call(["data", "pack", table, join(root, "none"), "--synthetic-column", "alt"])).err).toBe(
      `clip-ts data pack: ${table} has no column "alt"; it has "image", "caption", "long"; set syntheticColumn (--synthetic-column) to one of them`,
    );
  });

  it("does not add to shards that are there", async () => {
    const out = join(root, "twice");
    await call(["data", "pack", images, out]);
    expect(await call(["data", "pack", images, out])).toEqual({
      code: 2,
      out: "",
      err: `clip-ts data pack: ${out} has shards already; name an empty folder`,
    });
  });
});
