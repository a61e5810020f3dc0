import { createHash } from "node:crypto";
import { Script } from "node:vm";
import { describe, expect, it } from "vitest";
import { trainPage, type TrainReport } from "./train-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const hostile = `</script><script>alert('owned')</script>" onerror="alert(1)`;

const report = (changes: Partial<TrainReport> = {}): TrainReport => ({
  model: "pictogram-resnet",
  batchSize: 256,
  config: { learningRate: 0.001, augment: true, source: "pairs.jsonl" },
  totals: { steps: 3, pairs: 768, durationSeconds: 12, waitingShare: 0.0125, skipped: [] },
  metrics: [5.5, 4, 4.5].map((loss, i) => ({
    ...{ step: i + 1, epoch: 0, loss, learningRate: 0.001, gradientNorm: 1.5, logitScale: 2.6593 },
  })),
  validation: [{ step: 3, top1: 0.612, top5: 0.855, count: 1000, classes: 200 }],
  findings: [],
  predictions: [
    {
      image: pixel,
      truth: "cat",
      ranked: [
        { label: "cat", probability: 0.9 },
        { label: "dog", probability: 0.1 },
      ],
    },
    {
      image: pixel,
      truth: "owl",
      ranked: [
        { label: "hen", probability: 0.7 },
        { label: "owl", probability: 0.3 },
      ],
    },
  ],
  ...changes,
});

interface EmbeddedChart {
  title: string;
  steps: number[];
  curves: { label: string; values: (number | null)[] }[];
}
const chartsIn = (page: string) =>
  JSON.parse(/<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(page)![1]!) as EmbeddedChart[];
const scriptIn = (page: string) => /<script>(.*?)<\/script>/s.exec(page)![1]!;

describe("trainPage", () => {
  it("draws what pairs and captions cost apart where a decoder learns, and says what pairs do", () => {
    const metrics = report().metrics.map((metric) => ({
      ...metric,
      contrastiveLoss: metric.loss / 2,
      captionLoss: 6 - metric.step,
    }));
    const page = trainPage(report({ metrics }));
    const curves = Object.fromEntries(chartsIn(page).map(({ title, curves }) => [title, curves[0]!.values]));
    expect(curves).toMatchObject({ Loss: [2.75, 2, 2.25], "Caption loss": [5, 4, 3] });
    expect(page.replace(/\s+/g, " ")).toMatch(/Last loss \(chance 5\.545\)<.*?>2\.25</);
    expect(chartsIn(trainPage(report())).map(({ title }) => title)).not.toContain("Caption loss");
  });

  it("says in words and numbers how the run went", () => {
    const page = trainPage(report()).replaceAll("\u00a0", " ").replace(/\s+/g, " ");
    expect(page).toContain(
      "After 3 steps the model classifies 61.2 % of 1,000 validation images correctly, with 200 labels; chance is 0.5 %.",
    );
    expect(page).toContain("Loss from 5.5 at step 1 to 4.5 at step 3, lowest 4 at step 2.");
    for (const [name, value] of [
      ["Last loss (chance 5.545)", "4.5"],
      ["Steps (to epoch 0)", "3"],
      ["Pairs per second", "64"],
      ["Time waiting for data", "1.3 %"],
    ]) {
      expect(page).toMatch(new RegExp(`<dt>${name!.replace(/[()]/g, "\\$&")}</dt> <dd>${value}</dd>`));
    }
    expect(page).toContain("Every image could be read.");
  });

  it("lists findings, if there are any", () => {
    expect(trainPage(report())).not.toContain("Findings");
    const page = trainPage(report({ findings: [{ step: 1200, text: "half of the time is spent waiting" }] }));
    expect(page.replace(/\s+/g, " ")).toContain("step 1,200</span> Half of the time is spent waiting. </li>");
  });

  it("marks right and wrong predictions in words", () => {
    const page = trainPage(report());
    expect(page.match(/✓ right/g)).toHaveLength(1);
    expect(page.match(/✗ wrong/g)).toHaveLength(1);
    expect(page).toContain("1 of 2 right.");
  });

  it("embeds at most 2,000 points of a curve of 100,000, its extremes among them, and the chance line at ln(batchSize)", () => {
    const metrics = Array.from({ length: 100_000 }, (_, i) => ({
      ...{ step: i + 1, epoch: 0, loss: i === 54_321 ? 99 : 3 + Math.sin(i), learningRate: 1 / (i + 1) },
      ...{ gradientNorm: i === 99_999 ? NaN : 1, logitScale: 3 },
    }));
    const page = trainPage(report({ metrics }));
    const charts = chartsIn(page);
    expect(charts.map(({ title }) => title)).toEqual([
      "Loss",
      "Validation, %",
      "Learning rate",
      "Logit scale",
      "Gradient norm",
    ]);
    for (const { steps, curves } of charts) {
      expect(steps.length).toBeLessThanOrEqual(2000);
      for (const { values } of curves) expect(values).toHaveLength(steps.length);
    }
    const [loss, , learningRate, , gradientNorm] = charts as [
      EmbeddedChart,
      EmbeddedChart,
      EmbeddedChart,
      EmbeddedChart,
      EmbeddedChart,
    ];
    expect(loss.curves[0]!.values[loss.steps.indexOf(54_322)]).toBe(99);
    expect(new Set(loss.curves.at(-1)!.values)).toEqual(new Set([5.54518]));
    expect([learningRate.steps[0], learningRate.steps.at(-1)]).toEqual([1, 100_000]);
    expect(gradientNorm.curves[0]!.values.at(-1), "what is no number is a gap").toBeNull();
    expect(page.length).toBeLessThan(1_000_000);
  });

  it("runs a script that parses, is the only one, and is the one its content security policy names", () => {
    const page = trainPage(report());
    const script = scriptIn(page);
    expect(() => new Script(script)).not.toThrow();
    expect(page.match(/<script\b(?! type="application\/json")/g)).toHaveLength(1);
    expect(page).toContain(`script-src &#39;sha256-${createHash("sha256").update(script).digest("base64")}&#39;`);
  });

  it("lets no text from files become markup", () => {
    const prediction = { image: pixel, truth: hostile, ranked: [{ label: hostile, probability: 1 }] };
    const clean = trainPage(
      report({ predictions: [{ ...prediction, truth: "a", ranked: [{ label: "a", probability: 1 }] }] }),
    );
    const page = trainPage(
      report({
        model: hostile,
        config: { [hostile]: hostile },
        totals: { ...report().totals, skipped: [{ path: hostile, reason: hostile }] },
        predictions: [prediction],
      }),
    );
    expect(page).not.toContain("<script>alert");
    expect(page).not.toContain(`" onerror="`);
    expect(page.match(/<\/?script/g)!.length).toBe(clean.match(/<\/?script/g)!.length);
  });

  it("names no address to fetch: all URLs are data, but the one in uPlot's licence line", () => {
    const page = trainPage(report());
    expect(page.match(/\bhttps?:\/\/[^\s"']+/g)).toEqual(["https://github.com/leeoniya/uPlot"]);
    expect(page).not.toMatch(/<link|@import|url\(|\bsrc="(?!data:image\/)/);
  });

  it("refuses an image that would have to be fetched", () => {
    const prediction = { image: "https://example.org/cat.png", truth: "cat", ranked: [] };
    expect(() => trainPage(report({ predictions: [prediction] }))).toThrow(/begins with data:image\/, got https:/);
  });

  it("cuts a long list of skipped images and says so", () => {
    const skipped = Array.from({ length: 1234 }, (_, i) => ({ path: `broken-${i}.jpg`, reason: "ends early" }));
    const page = trainPage(report({ totals: { ...report().totals, skipped } }));
    expect(page).toContain("1,234 images could not be read and were skipped");
    expect(page.match(/broken-\d+/g)).toHaveLength(200);
    expect(page).toContain("and 1,034 more");
  });

  it("works for a run that measured nothing", () => {
    const page = trainPage(report({ metrics: [], validation: [], predictions: [] }));
    expect(page).toContain("After 3 steps nothing was measured.");
    expect(page).toContain("No step was recorded.");
  });
});
