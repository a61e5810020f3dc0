import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder, collect, dot } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { readCaptionTable } from "../../inputs/data/captioned-images.ts";
import { evaluateRetrieval } from "./retrieval.ts";

const root = await temporaryFolder();
const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
afterAll(() => encoder.release());

describe("readCaptionTable", () => {
  const file = join(root, "captions.tsv");

  it("takes all captions of an image, of its rows and between separators, from a folder of its own", async () => {
    await writeFile(file, "file\ttexts\nb.jpg\ta sea| the sea |\na.jpg\tred\nb.jpg\tblue\n");
    const columns = { imageColumn: "file", captionColumn: "texts", separator: "|", images: join(root, "photos") };
    await expect(readCaptionTable(file, columns)).rejects.toThrow(
      /; paths in it are relative to .*photos, as --images says$/,
    );
    await mkdir(columns.images);
    await writeFile(join(columns.images, "a.jpg"), "");
    expect((await readCaptionTable(file, columns)).samples).toEqual([
      { image: join(root, "photos/b.jpg"), captions: ["a sea", "the sea", "blue"] },
      { image: join(root, "photos/a.jpg"), captions: ["red"] },
    ]);
    await expect(readCaptionTable(file)).rejects.toThrow(
      /captions\.tsv has no column "image" or "path" or "filepath"; it has "file", "texts"; set imageColumn \(--image-column\) to one of them$/,
    );
  });

  it("refuses a row without a caption, and a table without rows", async () => {
    await writeFile(file, "image\tcaption\na.jpg\t| |\n");
    await expect(readCaptionTable(file, { separator: "|" })).rejects.toThrow(/line 2: the caption is empty between/);
    await writeFile(file, "image\tcaption\n");
    await expect(readCaptionTable(file)).rejects.toThrow(/captions\.tsv has no rows/);
  });
});

describe("evaluateRetrieval", async () => {
  const words = ["red", "green", "blue", "apple", "tree", "sea", "sun", "image"];
  // More images than are multiplied at once, with one to three captions each, no two alike.
  const images: { image: string; captions: string[] }[] = [];
  for (let i = 0; i < 70; i++) {
    const captions = Array.from({ length: 1 + (i % 3) }, (_, k) => {
      const [a, b, c] = [i % 8, Math.floor(i / 8) % 8, (i + k) % 8];
      return `${words[a]} ${words[b]} ${words[c]} ${"of the ".repeat(Math.floor(i / 64))}${k}`;
    });
    images.push({ image: await writeRandomImage(join(root, `${i}.png`), i), captions });
  }

  it("counts as one does who compares every caption with every image", async () => {
    const prefix = "a picture of ";
    const imageEmbeds = await collect(encoder.encodeImages(images.map(({ image }) => image)));
    const captions = images.flatMap(({ captions }, of) => captions.map((caption) => ({ caption, of })));
    const textEmbeds = await collect(encoder.encodeTexts(captions.map(({ caption }) => prefix + caption)));
    const cosines = imageEmbeds.map((image) => textEmbeds.map((text) => dot(image, text)));
    const found = (k: number) => ({
      text: cosines.filter((row, i) => {
        const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]!);
        return order.slice(0, k).some((text) => captions[text]!.of === i);
      }).length,
      image: captions.filter(({ of }, text) => {
        const order = Array.from(cosines.keys()).sort((a, b) => cosines[b]![text]! - cosines[a]![text]!);
        return order.slice(0, k).includes(of);
      }).length,
    });
    const progress: string[] = [];
    const onProgress = (done: number, of: number) => void progress.push(`${done}/${of}`);
    const scores = await evaluateRetrieval(encoder, images, { prefix, onProgress });
    expect(scores).toMatchObject({ images: 70, captions: captions.length, cut: 0, broken: [] });
    expect(progress.at(-1)).toBe(`${70 + captions.length}/${70 + captions.length}`);
    for (const [name, k] of [
      ["r1", 1],
      ["r5", 5],
      ["r10", 10],
    ] as const) {
      const { text, image } = found(k);
      expect(scores.textRetrieval[name]).toBeCloseTo(text / 70, 12);
      expect(scores.imageRetrieval[name]).toBeCloseTo(image / captions.length, 12);
    }
    expect(scores.textRetrieval.r10).toBeGreaterThan(0);
    expect(scores.textRetrieval.r1).toBeLessThan(1);

    const [hardest] = scores.hardCaptions;
    const text = captions.findIndex(({ caption }) => caption === hardest!.caption);
    const column = cosines.map((row) => row[text]!);
    const own = captions[text]!.of;
    expect(hardest!.image).toBe(images[own]!.image);
    expect(hardest!.rank).toBe(column.filter((cosine, i) => i !== own && cosine >= column[own]!).length);
    expect(hardest!.found[0]).toBe(images[column.indexOf(Math.max(...column))]!.image);
  });

  it("leaves broken images out with their captions, and counts captions that were cut", async () => {
    const torn = join(root, "torn.png");
    await writeFile(torn, "no image");
    const long = "the blue sea and ".repeat(20);
    const some = [
      { image: torn, captions: ["sun"] },
      { ...images[0]!, captions: [long] },
    ];
    const scores = await evaluateRetrieval(encoder, some);
    expect(scores).toMatchObject({ images: 1, captions: 1, cut: 1, broken: [{ image: torn }] });
    await expect(evaluateRetrieval(encoder, some.slice(0, 1))).rejects.toMatchObject({ code: "CLIP_DATA" });
  });
});
