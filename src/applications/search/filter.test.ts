import { describe, expect, it } from "vitest";
import { parseFilter } from "./filter.ts";
import { filterSql } from "./filter-sql.ts";

const numbered = { placeholder: (n: number) => `$${n}`, binary: "" };

describe("parseFilter", () => {
  it("reads comparisons, lists, and, or, not and parentheses, with and before or", () => {
    expect(parseFilter("taken >= 2024-01-01 and camera = 'X100' and not folder = 'screenshots'")).toEqual({
      op: "and",
      filters: [
        { op: ">=", field: "taken", value: "2024-01-01" },
        { op: "=", field: "camera", value: "X100" },
        { op: "not", filter: { op: "=", field: "folder", value: "screenshots" } },
      ],
    });
    expect(parseFilter("rating=5 or rating >3 AND NOT not (width<100)")).toEqual({
      op: "or",
      filters: [
        { op: "=", field: "rating", value: 5 },
        {
          op: "and",
          filters: [
            { op: ">", field: "rating", value: 3 },
            { op: "<", field: "width", value: 100 },
          ],
        },
      ],
    });
    expect(parseFilter(`folder not in (screenshots, "my ""memes""")`)).toEqual({
      op: "not",
      filter: { op: "in", field: "folder", values: ["screenshots", 'my "memes"'] },
    });
  });

  it("reads places and whether something is known", () => {
    expect(parseFilter("near(52.5, -13.4, 500m)")).toEqual({ op: "near", latitude: 52.5, longitude: -13.4, km: 0.5 });
    expect(parseFilter("taken is not known")).toEqual({ op: "not", filter: { op: "known", field: "taken" } });
  });

  it.each([
    ["", "not understood at its end: expected a field"],
    ["colour = red", 'at "colour = red": expected a field'],
    ["camra = X100", 'did you mean "camera"?'],
    ["taken >= yesterday", 'at "yesterday": expected a date such as'],
    ["taken = 2024-13", "expected a date"],
    ["taken = 2023-02-29", "expected a date"],
    ["rating = many", 'at "many": expected a number'],
    ["rating ~ 5", "~ is for texts, and rating is a number"],
    ["camera = X100 camera = Y", 'at "camera = Y": expected and, or, or the end'],
    ["camera = 'X100", "a quotation mark is not closed"],
    ["(camera = X100", 'at its end: expected ")"'],
    ["near(91, 0, 1km)", 'at "91, 0, 1km)": expected a latitude'],
    ["near(1, 0, 1 mile)", "expected a distance"],
    [`${"(".repeat(60)}rating = 1${")".repeat(60)}`, "nest deeper than 50 levels"],
    ["rating = 1 and ".repeat(1000), "the limit is 10000"],
  ])("says what it does not understand: %s", (text, problem) => {
    expect(() => parseFilter(text)).toThrow(problem);
  });
});

describe("filterSql", () => {
  it("keeps values out of the text", () => {
    const hostile = `x'; drop table items; --`;
    const { sql, parameters } = filterSql(parseFilter(`camera = "${hostile}" and rating in (1, 2)`), numbered, 3);
    expect(sql).not.toContain("drop");
    expect(parameters).toEqual([hostile, 1, 2]);
    expect(sql.match(/\$\d/g)).toEqual(["$3", "$4", "$5"]);
  });
});
