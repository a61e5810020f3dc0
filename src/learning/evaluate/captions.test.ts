import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder, collect, dot } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { evaluateCaptions, readCandidates } from "./captions.ts";

const root = await temporaryFolder();
const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
afterAll(() => encoder.release());
const image = await writeRandomImage(join(root, "a.png"), 1);

describe("readCandidates", () => {
  it("reads captions, and references where a column has them", async () => {
    const file = join(root, "captions.tsv");
    const sea = { image, within: root, caption: "the sea", references: [] };
    await writeFile(file, "image\tcaption\tpeople\na.png\tthe sea\tthe blue sea | a sea\n");
    expect((await readCandidates(file)).candidates).toEqual([sea]);
    const [candidate] = (await readCandidates(file, { referenceColumn: "people" })).candidates;
    expect(candidate!.references).toEqual(["the blue sea", "a sea"]);
    await writeFile(file, "filepath\ttitle\na.png\tthe sea\n");
    expect((await readCandidates(file)).candidates).toEqual([sea]);
    await writeFile(file, "filepath\ttitle\naway.png\tthe sea\n");
    await expect(readCandidates(file)).rejects.toThrow(
      /such as .*away\.png; paths in it are relative to its own folder; name another by images \(--images\)$/,
    );
  });
});

describe("evaluateCaptions", () => {
  it("scores by the cosines of sentences that begin with A photo depicts", async () => {
    const candidates = ["the sun", "red tree", "blue apple"].map((caption) => ({
      ...{ image, caption, references: ["the blue sea", "a green tree"] },
    }));
    const { captions, ...means } = await evaluateCaptions(encoder, candidates);
    const sentence = (text: string) => `A photo depicts ${text}`;
    const [imageEmbed] = await collect(encoder.encodeImages([image]));
    const references = await collect(encoder.encodeTexts(candidates[0]!.references.map(sentence)));
    const texts = await collect(encoder.encodeTexts(candidates.map(({ caption }) => sentence(caption))));
    captions.forEach((caption, i) => {
      // Batches of other sizes: measured 1e-7; without the sentence's beginning the cosines differ by more than 1e-2.
      const score = 2.5 * Math.max(0, dot(imageEmbed!, texts[i]!));
      const nearest = Math.max(0, ...references.map((reference) => dot(texts[i]!, reference)));
      expect(caption.clipScore).toBeCloseTo(score, 5);
      expect(caption.refClipScore).toBeCloseTo(score === 0 ? 0 : 2 / (1 / score + 1 / nearest), 5);
    });
    expect(captions.some(({ clipScore }) => clipScore > 0)).toBe(true);
    expect(means.clipScore).toBeCloseTo(captions.reduce((sum, caption) => sum + caption.clipScore, 0) / 3, 12);
    expect(means).toMatchObject({ count: 3, cut: 0, broken: [] });
  });

  it("has no RefCLIPScore without references, and leaves broken images out", async () => {
    const missing = { image: join(root, "none.png"), caption: "sun", references: [] };
    const scores = await evaluateCaptions(encoder, [missing, { image, caption: "sun", references: [] }]);
    expect(scores).toMatchObject({ count: 1, refClipScore: undefined, broken: [{ image: missing.image }] });
    await expect(evaluateCaptions(encoder, [missing])).rejects.toMatchObject({ code: "CLIP_DATA" });
  });
});
