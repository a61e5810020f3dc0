import { describe, expect, it } from "vitest";
import { calibration } from "../../learning/evaluate/classification-metrics.ts";
import type { ZeroShotAnswer, ZeroShotScores } from "../../learning/evaluate/zero-shot.ts";
import { type ZeroShotModel, zeroShotPage } from "./zero-shot-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const answer = (image: string, truth: string, called: string): ZeroShotAnswer => ({
  ...{ name: image, image, truths: [truth], rank: truth === called ? 0 : 1 },
  ranked: [{ label: called, probability: 0.8 }],
  truthProbability: truth === called ? 0.8 : 0.1,
});

/** Three images of cats, of which one is called a dog, and one dog. */
function modelOf(model: string, cat = "cat", dog = "dog"): ZeroShotModel {
  const answers = [answer("1", cat, cat), answer("2", cat, dog), answer("3", cat, cat), answer("4", dog, dog)];
  const scores: ZeroShotScores = {
    ...{ count: 4, top1: 0.75, top5: 1, meanPerClass: 5 / 6, meanAveragePrecision11: 0.9, rocAuc: 0.875 },
    calibration: calibration([0.8, 0.8, 0.8, 0.8], [true, false, true, true]),
    classes: [
      { name: cat, count: 3, recall: 2 / 3, precision: 1, averagePrecision11: 0.8 },
      { name: dog, count: 1, recall: 1, precision: 0.5, averagePrecision11: 1 },
    ],
    confusions: [{ truth: cat, predicted: dog, count: 1 }],
    answers,
    broken: [],
  };
  return {
    model,
    scores,
    mistakes: [answers[1]!],
    confusions: [{ truth: cat, predicted: dog, count: 1, images: ["2"] }],
    images: new Map([["2", pixel]]),
  };
}
const pageOf = (...models: ZeroShotModel[]) =>
  zeroShotPage({
    data: "pets",
    labelsFrom: "names.txt",
    templates: ["a {}"],
    templatesFrom: undefined,
    videos: false,
    models,
  });
const text = (page: string) => page.replace(/<[^>]*>/g, " ").replace(/[\s\u00a0]+/g, " ");

describe("zeroShotPage", () => {
  it("says the result in a sentence and figures", () => {
    const page = text(pageOf(modelOf("tiny")));
    expect(page).toContain("tiny classifies 75.0 % of 4 images correctly, zero-shot, with 2 labels");
    expect(page).toMatch(/Top-1 75\.0 %.*Mean per class 83\.3 %.*ROC AUC 87\.5 %.*Calibration error 5\.0 %/);
    expect(page).toContain("Mean confidence 80.0 %, accuracy 75.0 %: overconfident by 5 points.");
    expect(page).toContain("Labels: names.txt .");
  });

  it("puts what others have published of a model beside it, and a dash where there is nothing", () => {
    const published = { metric: "meanPerClass", paper: 0.935, released: undefined } as const;
    const page = text(pageOf({ ...modelOf("tiny"), published }));
    expect(page).toContain("Paper, mean per class 93.5 % Released weights, mean per class –");
    expect(text(pageOf(modelOf("tiny")))).not.toContain("Paper");
  });

  it("counts in the matrix what was called what, row by row", () => {
    const cells = [
      ...pageOf(modelOf("tiny")).matchAll(/<td class="[^"]*" style="--share:([\d.]+)%">\s*(\d*)\s*<\/td>/g),
    ];
    expect(cells.map(([, share, times]) => [Number(share), times])).toEqual([
      [66.7, "2"],
      [33.3, "1"],
      [0, ""],
      [100, "1"],
    ]);
  });

  it("draws a bar as high as the share that was right, and the gap up to the confidence", () => {
    const page = pageOf(modelOf("tiny"));
    // Of 300 units: 75 % right, the gap from there to 80 %.
    expect(page).toMatch(/class="right-share"[^>]* y="75" [^>]*height="225"/);
    expect(page).toMatch(/class="gap"[^>]* y="60" [^>]*height="15"/);
  });

  it("lists the hardest class first, and shows the images of mistakes and confusions", () => {
    const page = pageOf(modelOf("tiny"));
    const classes = page.slice(page.indexOf("Every class"));
    expect(classes.indexOf("<bdi>cat</bdi>")).toBeLessThan(classes.indexOf("<bdi>dog</bdi>"));
    expect(page.match(/<img src="data:image\/png/g)).toHaveLength(2);
    expect(text(page)).toContain("The 1 most confident of 1.");
  });

  it("sets several models beside each other, the best in the sentence", () => {
    const [weak, strong] = [modelOf("weak"), modelOf("strong")];
    const page = text(pageOf(weak, { ...strong, scores: { ...strong.scores, top1: 1 } }));
    expect(page).toContain("The best of 2 models, strong, classifies 100.0 %");
    expect(page).toMatch(/Model Top-1 .* weak 75\.0 % .* strong 100\.0 %/);
  });

  it("lets no name become markup, and loads nothing", () => {
    const page = pageOf(modelOf("</title><script>", `<img src=x onerror="alert(1)">`, "<script>alert(2)</script>"));
    expect(page).not.toMatch(/<script|<img (?!src="data:image\/png)|" onerror=|\bhttps?:|<link|@import|url\(/);
  });
});
