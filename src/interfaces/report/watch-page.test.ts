import { describe, expect, it } from "vitest";
import { watchPage, watchParts, type WatchedRun, type WatchState } from "./watch-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const hostile = `</script><img src=x onerror="alert(1)">`;

const run: WatchedRun = {
  model: "pets",
  batchSize: 64,
  config: { steps: 500 },
  hasValidation: true,
  hasDecoder: false,
};
const state = (changes: Partial<WatchState> = {}): WatchState => ({
  progress: { step: 120, steps: 500, epoch: 3, pairsPerSecond: 321.4, secondsLeft: 59.2, waitShare: 0.04 },
  metrics: [4, 3].map((loss, i) => ({
    ...{ step: 119 + i, epoch: 3, loss, learningRate: 1e-3, gradientNorm: 1.5, logitScale: 2.7 },
  })),
  validation: [{ step: 100, top1: 0.5, top5: 0.9, count: 10, classes: 10 }],
  speeds: [300, 340],
  firstSpeed: 119,
  findings: [{ step: 50, text: "the loss is high" }],
  predictions: [{ image: pixel, truth: "cat", ranked: [{ label: "cat", probability: 0.9 }] }],
  outcome: undefined,
  ...changes,
});
const plain = (text: string) => text.replaceAll("\u00a0", " ").replace(/\s+/g, " ").trim();
const titlesOf = ({ points }: Record<string, string>) =>
  (JSON.parse(points!) as { title: string }[]).map(({ title }) => title);

describe("watchParts", () => {
  it("says how far the run is, in words, numbers and curves", () => {
    const parts = watchParts(run, state());
    expect(parts["title"]).toBe("24 % · pets");
    expect(plain(parts["position"]!)).toBe("Step 120 of 500, epoch 3: 59 s left.");
    for (const [name, value] of [
      ["Loss (chance 4.159)", "3"],
      ["Top-1 at step 100", "50.0 %"],
      ["Pairs per second", "321.4"],
    ]) {
      expect(plain(parts["figures"]!)).toContain(`<dt>${name}</dt> <dd>${value}</dd>`);
    }
    expect(plain(parts["findings"]!)).toContain("The loss is high.");
    expect(parts["predictions"]).toContain(pixel);
    expect(parts["outcome"]).toBe("");
    const charts = JSON.parse(parts["points"]!) as { title: string; steps: number[]; curves: { values: number[] }[] }[];
    expect(charts.map(({ title, steps, curves }) => [title, steps, curves[0]!.values])).toEqual([
      ["Loss", [119, 120], [4, 3]],
      ["Validation, %", [100], [50]],
      ["Learning rate", [119, 120], [1e-3, 1e-3]],
      ["Logit scale", [119, 120], [2.7, 2.7]],
      ["Gradient norm", [119, 120], [1.5, 1.5]],
      ["Pairs per second", [119, 120], [300, 340]],
    ]);
    expect(parts["chart-5-course"]).toContain("Pairs per second from 300 at step 119 to 340 at step 120.");
  });

  it("says how the run ended", () => {
    const parts = watchParts(run, state({ outcome: `The run failed: ${hostile}` }));
    expect(parts["title"]).toBe("ended · pets");
    expect(parts["position"]).toContain("Step 120 of 500, epoch 3. The run failed: &lt;/script&gt;");
    expect(parts["outcome"]).toContain("The run failed");
    expect(watchParts(run, state({ progress: undefined, outcome: "Stopped." }))["position"]).toBe("Stopped.");
  });

  it("has something to say before the first step, and of a run that is not validated", () => {
    const nothing = {
      progress: undefined,
      metrics: [],
      validation: [],
      speeds: [],
      findings: [],
      predictions: "Later.",
    };
    const parts = watchParts(run, state(nothing));
    expect(parts["title"]).toBe("0 % · pets");
    expect(parts["position"]).toContain("Reading the data and preparing the model");
    expect(parts["predictions"]).toContain("Later.");
    expect(parts["chart-0-course"]).toMatch(/^Nothing yet\./);
    const unvalidated = watchParts({ ...run, hasValidation: false }, state(nothing));
    expect(unvalidated).not.toHaveProperty("predictions");
    expect(titlesOf(unvalidated)).not.toContain("Validation, %");
    expect(unvalidated["figures"]).not.toContain("Top-1");
  });
});

describe("watchPage", () => {
  it.each([
    { hasValidation: true, hasDecoder: false },
    { hasValidation: false, hasDecoder: true },
    { hasValidation: true, hasDecoder: true },
  ])("has a place for every part (%o)", (parted) => {
    const watched = { ...run, ...parted };
    const page = watchPage(watched);
    const { title, points, outcome, ...parts } = watchParts(watched, state());
    expect([title, points, outcome].every((part) => part !== undefined)).toBe(true);
    for (const id of Object.keys(parts)) expect(page).toContain(` id="${id}"`);
    const titles = titlesOf({ points: points! });
    expect(titles.includes("Caption loss")).toBe(parted.hasDecoder);
    for (const [i, chart] of titles.entries()) {
      expect(page).toContain(`<h3 id="chart-${i}-title">${chart}</h3>`);
    }
  });

  it("lets no name become markup, and its script ask its own server alone", () => {
    const page = watchPage({ ...run, model: hostile, config: { [hostile]: hostile } });
    expect(page).not.toContain("<img src=x");
    expect(page).toContain("connect-src &#39;self&#39;;");
    expect(page).toContain("default-src &#39;none&#39;;");
    const shown = state({
      findings: [{ step: 1, text: hostile }],
      predictions: [{ image: pixel, truth: hostile, ranked: [{ label: hostile, probability: 1 }] }],
    });
    for (const part of Object.values(watchParts({ ...run, model: "a" }, shown)))
      expect(part).not.toContain("<img src=x");
  });
});
