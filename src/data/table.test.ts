import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { collect } from "../embedding/index.ts";
import { isSeparated, isTableName, readRows, readTexts } from "./table.ts";

const root = await temporaryFolder();
async function fileOf(name: string, content: string): Promise<string> {
  await writeFile(join(root, name), content);
  return join(root, name);
}
const choose = () => ({ picture: "file", text: "caption" });

describe("readRows", () => {
  it("gives columns under what they are read for, with the line in which a row ends", async () => {
    const path = await fileOf("quoted.csv", 'caption,id,file\n"two\nlines, ""quoted""",1,a.jpg\n"Stop" sign,2,b.jpg\n');
    expect(await collect(readRows(path, choose))).toEqual([
      { place: "line 3", values: { picture: "a.jpg", text: 'two\nlines, "quoted"' } },
      { place: "line 4", values: { picture: "b.jpg", text: '"Stop" sign' } },
    ]);
  });

  it("gives values of JSON as they are, and nothing where a line lacks one", async () => {
    const path = await fileOf("values.jsonl", '{"file": "a.jpg", "caption": ["x", "y"]}\n\n{"file": 7}');
    expect(await collect(readRows(path, choose))).toEqual([
      { place: "line 1", values: { picture: "a.jpg", text: ["x", "y"] } },
      { place: "line 3", values: { picture: 7, text: undefined } },
    ]);
  });

  it("reads on only as it is asked: what is wrong further down is met there", async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `{"file": "${i}.jpg", "caption": "some words"}`);
    const path = await fileOf("late.jsonl", [...rows, "no JSON"].join("\n"));
    const reading = readRows(path, choose);
    expect((await reading.next()).value).toMatchObject({ place: "line 1" });
    await reading.return(undefined);
    await expect(collect(readRows(path, choose))).rejects.toThrow(/late\.jsonl, line 20001 is not JSON/);
  });
});

describe("readTexts", () => {
  it("takes columns whatever they are called", async () => {
    const path = await fileOf("names.tsv", "place\tvalues\n a \tb\n");
    expect(await readTexts(path, { words: ["text", "values"], place: ["place"] })).toEqual([
      { place: "line 2", values: { words: "b", place: "a" } },
    ]);
  });

  it("says of a table with semicolons that it has them", async () => {
    const path = await fileOf("semicolons.csv", "image;caption\na.jpg;one, two\n");
    await expect(readTexts(path, { image: ["image"] })).rejects.toThrow(
      /no column "image"; it has "image;caption"; columns are separated by ;: save it with commas, or as \.tsv$/,
    );
  });
});

it("tables are known by their names", () => {
  expect(["a.csv", "a.TSV", "a.jsonl", "a.json"].map(isTableName)).toEqual([true, true, true, false]);
  expect(["a.csv", "a.TSV", "a.jsonl"].map(isSeparated)).toEqual([true, true, false]);
});
