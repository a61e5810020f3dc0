import { describe, expect, it } from "vitest";
import { type RetrievalModel, retrievalPage } from "./retrieval-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const modelOf = (model: string, r1: number, caption = "a cat"): RetrievalModel => ({
  model,
  scores: {
    ...{ images: 2, captions: 4, cut: 3, broken: [] },
    textRetrieval: { r1: 0.5, r5: 1, r10: 1 },
    imageRetrieval: { r1, r5: 1, r10: 1 },
    hardImages: [{ image: "1", rank: 2, own: caption, found: ["a dog", "two dogs"] }],
    hardCaptions: [{ caption, rank: 1, image: "1", found: ["2"] }],
  },
  images: new Map([
    ["1", pixel],
    ["2", pixel],
  ]),
});
const pageOf = (...models: RetrievalModel[]) => retrievalPage({ data: "pets.tsv", prefix: "a photo of ", models });
const text = (page: string) => page.replace(/<[^>]*>/g, " ").replace(/[\s\u00a0]+/g, " ");

describe("retrievalPage", () => {
  it("says both ways how often the right one is found, and what guessing would find", () => {
    const page = text(pageOf(modelOf("tiny", 0.25)));
    expect(page).toMatch(
      /tiny finds the right one of 2 images for 25\.0 % of captions, .* 4 captions for 50\.0 % of images/,
    );
    expect(page).toContain("Chance is 50.0 %");
    expect(page).toContain("3 captions had more tokens than the model reads");
  });

  it("shows the hardest captions and images with what was found instead", () => {
    const page = pageOf(modelOf("tiny", 0.25));
    expect(page.match(/<img src="data:image\/png/g)).toHaveLength(3);
    expect(text(page)).toContain("1 image ranked before the right one.");
    expect(text(page)).toMatch(/3\. a cat a dog two dogs/);
  });

  it("tells of several models, the best in the sentence, and lets no caption become markup", () => {
    const page = pageOf(modelOf("weak", 0.1), modelOf("strong", 0.9, "<script>alert(1)</script>"));
    expect(text(page)).toContain("strong finds the right one");
    expect(text(page)).toMatch(
      /Models Model Image by caption, R@1 .* weak 10\.0 % 100\.0 % 100\.0 % 50\.0 % .*strong 90\.0 %/,
    );
    expect(text(pageOf(modelOf("alone", 0.1)))).not.toContain("Models");
    expect(page).not.toMatch(/<script|\bhttps?:/);
  });
});
