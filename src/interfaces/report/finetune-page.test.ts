import { describe, expect, it } from "vitest";
import type { FinetuneRecord } from "../../learning/finetune/finetune.ts";
import { finetunePage } from "./finetune-page.ts";

const hostile = `</script><script>alert('owned')</script>" onerror="alert(1)`;
const scores = (top1: number) => ({ top1, top5: 0.9, count: 341, classes: 10 });
const [own, general] = [
  [0.161, 0.185, 0.214, 0.287, 0.352, 0.411, 0.472, 0.534, 0.595, 0.616, 0.61],
  [0.627, 0.629, 0.624, 0.622, 0.624, 0.623, 0.612, 0.61, 0.601, 0.591, 0.577],
];
const record = (change: Partial<FinetuneRecord> = {}): FinetuneRecord => ({
  ...{ model: "ViT-B-32", weights: "0", dtype: "F32", data: "pets", general: "others", maxLoss: 0.01, alpha: 0.5 },
  why: "the best on your images",
  pairs: { train: 3068, validation: 341, general: 1691 },
  plan: { recipe: "some", settings: [{ name: "learningRate", value: 0.0001, why: "it is usual" }] },
  sweep: own.map((top1, i) => ({ alpha: i / 10, validation: scores(top1), general: scores(general[i]!) })),
  ...change,
});
const text = (page: string) => page.replaceAll("\u00a0", " ").replace(/\s+/g, " ");

describe("finetunePage", () => {
  it("says in words, numbers and a curve what became of both sets", () => {
    const page = text(finetunePage(record(), "tuned/report.html"));
    expect(page).toContain(
      "The kept blend, α = 0.5, classifies 41.1 % of your images correctly, the original 16.1 %; " +
        "on the general set 62.3 %, the original 62.7 %. The best on your images.",
    );
    expect(page).toContain("<dd>16.1 % → 41.1 %</dd>");
    expect(page).toContain("<dd>62.7 % → 62.3 %</dd>");
    expect(page).toContain(
      "Your images from 16.1 % at α 0 to 61.0 % at α 1, at most 61.6 %; the general set from 62.7 % at α 0 to 57.7 % at α 1, at most 62.9 %.",
    );
    expect(page.match(/<circle class="own"/g)).toHaveLength(11);
    expect(page.match(/<rect class="general"/g)).toHaveLength(11);
    expect(page.match(/<tr class="kept">/g)).toHaveLength(1);
    expect(page).toContain('<a href="tuned/report.html">');
  });

  it("draws every point inside its image, at its place", () => {
    const page = finetunePage(record(), "tuned/report.html");
    const points = Array.from(page.matchAll(/<circle class="own" cx="([\d.]+)" cy="([\d.]+)"/g), ([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    const [xs, ys] = [points.map(([x]) => x!), points.map(([, y]) => y!)];
    expect(xs).toEqual(own.map((_, i) => 46 * i));
    // From 10 % at the bottom to 70 % at the top.
    ys.forEach((y, i) => expect(y).toBeCloseTo((280 * (0.7 - own[i]!)) / 0.6, 0));
  });

  it("says where there is no general set, or a blend that was not measured", () => {
    const sweep = record().sweep.map(({ alpha, validation }) => ({ alpha, validation }));
    const page = text(finetunePage(record({ general: undefined, sweep, alpha: 0.33 }), "tuned/report.html"));
    expect(page).toContain("The kept blend, α = 0.33, was not measured.");
    expect(page).toContain("none: losses on other images were not measured");
    expect(page).not.toContain("General set, top-1");
    expect(page).not.toContain('<rect class="general"');
  });

  it("stands a set that never changes, as one that is always right", () => {
    const sweep = record().sweep.map(({ alpha }) => ({ alpha, validation: scores(1), general: scores(1) }));
    const page = finetunePage(record({ sweep }), "tuned/report.html");
    expect(page).not.toContain("NaN");
    expect(page.match(/<circle class="own"/g)).toHaveLength(11);
  });

  it("lets no text from files become markup", () => {
    const plan = { recipe: hostile, settings: [{ name: hostile, value: hostile, why: hostile }] };
    const page = finetunePage(
      record({ model: hostile, data: hostile, general: hostile, validation: hostile, why: hostile, plan }),
      "x",
    );
    expect(page).not.toContain("<script");
    expect(page).not.toContain(`" onerror="`);
  });
});
