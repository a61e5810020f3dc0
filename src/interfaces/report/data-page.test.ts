import { describe, expect, it } from "vitest";
import { dataPage, type DataPageParts } from "./data-page.ts";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const report: DataPageParts["report"] = {
  pairs: 1200,
  skipped: [],
  reasons: [],
  width: { min: 100, median: 200, max: 340, bins: [1, 0, 3] },
  height: { min: 64, median: 64, max: 64, bins: [1200] },
  repeatedImages: 0,
  captions: {
    ...{ count: 2400, distinct: 2400, shared: [], contextLength: 77, tooLong: 5 },
    tokens: { min: 5, median: 12, max: 104, bins: [2000, 395, 0, 5] },
  },
  notes: [],
};
const pageOf = (change: Partial<DataPageParts["report"]> = {}, sheet: DataPageParts["sheet"] = []) =>
  dataPage({ source: "pets", report: { ...report, ...change }, sheet });
const columns = (page: string) =>
  [...page.matchAll(/<span\s+class="(column|beyond)"\s+style="height:([\d.]+)%"\s+title="([^"]*)"/g)].map((found) =>
    found.slice(1),
  );

describe("dataPage", () => {
  it("says in a sentence what is there", () => {
    expect(pageOf()).toContain("1,200 pairs can be used, with 2.0 captions per image; none is broken.");
    const skipped = [{ image: "a.jpg", reason: "its caption is empty" }];
    expect(pageOf({ skipped })).toContain("2.0 captions per image; 1 cannot.");
  });

  it("draws columns as high as they are many, those beyond the context in another colour", () => {
    expect(columns(pageOf())).toEqual([
      ["column", "33.3", "100 to 180 pixels: 1"],
      ["column", "0", "180 to 260 pixels: 0"],
      ["column", "100.0", "260 to 340 pixels: 3"],
      ["column", "100.0", "64 pixels: 1,200"],
      ["column", "100.0", "5 to 29 tokens: 2,000"],
      ["column", "19.8", "30 to 54 tokens: 395"],
      ["column", "0", "55 to 79 tokens: 0"],
      ["beyond", "1.0", "80 to 104 tokens: 5"],
    ]);
  });

  it("names a value that all have once, under its one column", () => {
    const page = pageOf();
    expect(page).toContain("All are 64 pixels");
    expect(page.match(/<span>64( pixels)?<\/span>/g)).toEqual(["<span>64 pixels</span>"]);
    expect(page).toContain("Median 200 pixels");
    expect(page).toContain(".columns span:only-child { max-width");
  });

  it("lists what was left out without the folder that all of it lies in", () => {
    const skipped = ["/long/way/a/1.jpg", "/long/way/b/2.jpg"].map((image) => ({ image, reason: `${image} is empty` }));
    const page = pageOf({ skipped });
    expect(page).toContain("a/1.jpg is empty");
    expect(page).not.toContain("/long/way");
  });

  it("cuts a long list of what was left out, and says so", () => {
    const skipped = Array.from({ length: 1201 }, (_, i) => ({ image: `${i}.jpg`, reason: "its caption is empty" }));
    const page = pageOf({ skipped, reasons: [{ reason: "its caption is empty", count: 1201 }] });
    expect(page.match(/<li>/g)).toHaveLength(200);
    expect(page).toContain("and 1,001 more");
    expect(page).toContain("1,201 (50.0\u00a0%)");
  });

  it("takes names and captions for text", () => {
    const hostile = `<img src=x onerror="alert(1)">`;
    const sheet = [{ image: pixel, name: hostile, captions: [hostile, hostile] }];
    const skipped = [{ image: hostile, reason: hostile }];
    const captions = { ...report.captions, shared: [{ caption: hostile, images: 2 }] };
    const page = pageOf({ skipped, captions, reasons: [{ reason: hostile, count: 1 }], notes: [hostile] }, sheet);
    expect(page).not.toContain("<img src=x");
    expect(page.match(/<img /g)).toHaveLength(1);
    expect(page).toContain("and 1 more caption<");
  });
});
