import { describe, expect, it } from "vitest";
import { classifyPage, type ClassifiedImage } from "./classify-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** A result with the given similarities, best first. */
const result = (image: string, similarities: Readonly<Record<string, number>>): ClassifiedImage => ({
  image,
  labels: Object.entries(similarities)
    .map(([label, similarity]) => ({ label, similarity, probability: 1 / Object.keys(similarities).length }))
    .sort((a, b) => b.similarity - a.similarity),
});
const labelsOf = (results: readonly ClassifiedImage[]) => [
  ...new Set(results.flatMap(({ labels }) => labels.map(({ label }) => label))),
];
const pageOf = (...results: ClassifiedImage[]) =>
  classifyPage({
    results,
    labels: labelsOf(results),
    images: new Map(results.map(({ image }) => [image, pixel])),
    model: "pictogram-resnet",
    templates: ["a photo of a {}"],
  });
const columnHeads = (page: string) =>
  [...page.matchAll(/<th scope="col"[^>]*><bdi>(.*?)<\/bdi>/gs)].map(([, label]) => label);
const cells = (page: string) =>
  [...page.matchAll(/<td class="([^"]*)"[^>]*>([^<]*)<\/td>/g)].map(([, classes, text]) => [text!, classes!.trim()]);

describe("classifyPage", () => {
  it("has its columns in the order of the labels, and tells apart equal names in different folders", () => {
    const results = [
      result("/long/common/folder/a/1.jpg", { dog: 0.3, cat: 0.2 }),
      result("/long/common/folder/b/1.jpg", { cat: 0.3, dog: 0.2 }),
    ];
    const page = classifyPage({ results, labels: ["cat", "dog"], images: new Map(), model: "m", templates: [] });
    expect(columnHeads(page)).toEqual(["cat", "dog"]);
    expect([...page.matchAll(/<h2 title="[^"]*"><bdi>(.*?)<\/bdi>/g)].map(([, name]) => name)).toEqual([
      "a/1.jpg",
      "b/1.jpg",
    ]);
  });

  it("shows a lone image beside its labels, without a heat map", () => {
    const page = pageOf(result("cat.jpg", { cat: 0.3, dog: 0.2 }));
    expect(page.match(/<img src="data:image\/png/g)).toHaveLength(1);
    expect(page.match(/50\.0\u00a0%/g)).toHaveLength(2);
    expect(page).not.toContain("<table");
    expect(page).toContain("a photo of a {}");
  });

  it("sets several images against all labels, each best outlined, the scale from the lowest to the highest", () => {
    const page = pageOf(result("a/cat.jpg", { cat: 0.31, dog: 0.2 }), result("a/dog.jpg", { cat: -0.05, dog: 0.28 }));
    expect(columnHeads(page)).toEqual(["cat", "dog"]);
    expect(cells(page)).toEqual([
      ["0.31", "high best"],
      ["0.20", "high"],
      ["−0.05", ""],
      ["0.28", "high best"],
    ]);
    expect([...page.matchAll(/--share:([\d.]+)%/g)].map(([, share]) => Number(share))).toEqual([100, 69.4, 0, 91.7]);
    expect(page).toMatch(/class="legend".*−0\.05.*0\.31/s);
  });

  it("shows all rows of a heat map, and lets one of more than a screen scroll, except on paper", () => {
    const frame = (rows: number) =>
      /class="(card heat-frame[^"]*)"/.exec(
        pageOf(...Array.from({ length: rows }, (_, i) => result(`${i}.jpg`, { cat: 0.3 }))),
      )![1];
    expect(frame(20)).toBe("card heat-frame");
    expect(frame(21)).toBe("card heat-frame tall");
    expect(pageOf(result("a.jpg", { cat: 0.3 }))).toContain("@media print { .heat-frame.tall { max-height: none; } }");
  });

  it("leaves cells open for labels that were not kept for an image", () => {
    const page = pageOf(result("a.jpg", { cat: 0.3 }), result("b.jpg", { dog: 0.2 }));
    expect(cells(page).map(([text]) => text)).toEqual(["0.30", "–", "–", "0.20"]);
  });

  it("shows of many labels every image's best, and says how many there are", () => {
    const many = (best: string) => ({
      ...Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`label ${i}`, i / 1000])),
      [best]: 0.5,
    });
    const page = pageOf(result("a.jpg", many("label 3")), result("b.jpg", many("label 7")));
    expect(columnHeads(page).slice(0, 3)).toEqual(["label 3", "label 98", "label 97"]);
    expect(columnHeads(page)).toContain("label 7");
    expect(columnHeads(page)).toHaveLength(30);
    expect(page).toContain("Shown are 30 of 99 labels");
    expect(page.match(/and 94 labels less likely/g)).toHaveLength(2);
  });

  it("lets no label, path, template or model name become markup", () => {
    const results = [
      result(`x" onerror='alert(1)'.jpg`, { "<script>alert(2)</script>": 0.3 }),
      result("b", { "<script>": 0.2 }),
    ];
    const page = classifyPage({
      ...{ results, labels: labelsOf(results) },
      images: new Map([[`x" onerror='alert(1)'.jpg`, pixel]]),
      model: "</title><script>",
      templates: ["<img src=x onerror=alert(3)> {}"],
    });
    expect(page).not.toMatch(/<script|<img (?!src="data:image\/png)|" onerror=/);
    expect(page).toContain(`alt="x&quot; onerror=&#39;alert(1)&#39;.jpg"`);
    expect(page).toContain("&lt;script&gt;alert(2)&lt;/script&gt;");
  });

  it("holds no address outside itself, and forbids itself to load any", () => {
    const page = pageOf(result("a.jpg", { cat: 0.3 }), result("b.jpg", { dog: 0.2 }));
    expect(page).not.toMatch(/\bhttps?:|<link|@import|url\(|<script/);
    expect(page).toContain("default-src &#39;none&#39;; img-src data:;");
  });

  it("says where an image is missing, and lasts when nothing at all was classified", () => {
    const results = [result("gone.jpg", { cat: 0.3 })];
    const noImages = { labels: ["cat"], images: new Map<string, string>(), model: "m", templates: [] };
    expect(classifyPage({ results, ...noImages })).toContain("no image");
    expect(classifyPage({ ...noImages, results: [], labels: [] })).toContain("0 images, 0 labels");
  });
});
