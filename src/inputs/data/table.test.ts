import { execFileSync } from "node:child_process";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { collect } from "../../model/embedding/encoder.ts";
import { isSeparated, isTableName, readRows, readTexts } from "./table.ts";

const root = await temporaryFolder();
async function fileOf(name: string, content: string): Promise<string> {
  await writeFile(join(root, name), content);
  return join(root, name);
}
const choose = () => ({ image: "file", text: "caption" });

describe("readRows", () => {
  it("gives columns under what they are read for, with the line in which a row ends", async () => {
    const path = await fileOf("quoted.csv", 'caption,id,file\n"two\nlines, ""quoted""",1,a.jpg\n"Stop" sign,2,b.jpg\n');
    expect(await collect(readRows(path, choose))).toEqual([
      { place: "line 3", values: { image: "a.jpg", text: 'two\nlines, "quoted"' } },
      { place: "line 4", values: { image: "b.jpg", text: '"Stop" sign' } },
    ]);
  });

  it("gives values of JSON as they are, and nothing where a line lacks one", async () => {
    const path = await fileOf("values.jsonl", '{"file": "a.jpg", "caption": ["x", "y"]}\n\n{"file": 7}');
    expect(await collect(readRows(path, choose))).toEqual([
      { place: "line 1", values: { image: "a.jpg", text: ["x", "y"] } },
      { place: "line 3", values: { image: 7, text: undefined } },
    ]);
  });

  it("reads on only as it is asked: what is wrong further down is met there", async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `{"file": "${i}.jpg", "caption": "some words"}`);
    const path = await fileOf("late.jsonl", [...rows, "no JSON"].join("\n"));
    const reading = readRows(path, choose);
    expect((await reading.next()).value).toMatchObject({ place: "line 1" });
    await reading.return(undefined);
    expect((await collect(readRows(path, choose))).at(-1)).toEqual({
      place: "line 20001",
      problem: expect.stringMatching(/^it is not JSON: /) as string,
    });
  });
});

describe("readTexts", () => {
  it("takes columns whatever they are called", async () => {
    const path = await fileOf("names.tsv", "place\tvalues\n a \tb\n");
    expect(await readTexts(path, { words: ["text", "values"], place: ["place"] })).toEqual({
      rows: [{ place: "line 2", values: { words: "b", place: "a" } }],
      skipped: [],
    });
  });

  it("says of a table of one column that values are to be separated", async () => {
    const path = await fileOf("spaces.csv", "image caption\na.jpg one\n");
    await expect(readTexts(path, { image: ["image"] })).rejects.toThrow(
      /no column "image"; it has "image caption"; is that one column\? values are separated by commas, tabs, semicolons or \|$/,
    );
  });

  it("leaves out some bad rows; refuses a table in which they are half, or many before any good one", async () => {
    const rows = (good: number, bad: number) => "image\n" + "a.jpg\n".repeat(good) + "a.jpg,b\n".repeat(bad);
    const some = await readTexts(await fileOf("some.csv", rows(3, 2)), { image: ["image"] });
    expect([some.rows.length, some.skipped.length]).toEqual([3, 2]);
    await expect(readTexts(await fileOf("half.csv", rows(2, 2)), { image: ["image"] })).rejects.toThrow(
      /half\.csv, line 4: it has 2 values for 1 columns.*; 2 of 4 rows that were read cannot be used$/,
    );
    await expect(readTexts(await fileOf("many.csv", rows(0, 5000)), { image: ["image"] })).rejects.toThrow(
      /1000 of 1000 rows that were read/,
    );
  });
});

describe("tables as people have them", () => {
  const columns = { image: ["image", "filepath"], text: ["caption", "title"] };
  const read = async (name: string, content: string | Uint8Array) => {
    await writeFile(join(root, name), content);
    const { rows, skipped } = await readTexts(join(root, name), columns);
    return { rows: rows.map(({ place, values }) => `${place}: ${values.image}=${values.text}`), skipped };
  };
  const two = ["line 2: a.jpg=one, two", "line 3: b.jpg=three"];

  it.each([
    ["tabs in a .csv, as open_clip has them", "a.csv", "filepath\ttitle\na.jpg\tone, two\nb.jpg\tthree\n"],
    ["commas in a .tsv", "a.tsv", 'filepath,title\na.jpg,"one, two"\nb.jpg,three\n'],
    ["semicolons", "b.csv", "image;caption\na.jpg;one, two\nb.jpg;three\n"],
    ["semicolons below a name with a comma", "c.csv", "image;caption;n, of m\na.jpg;one, two;1\nb.jpg;three;2\n"],
    ["bars", "b.tsv", "image|caption\na.jpg|one, two\nb.jpg|three\n"],
    ["names in quotation marks", "d.csv", '"image"\t"caption"\na.jpg\t"one, two"\nb.jpg\tthree'],
    ["blanks after commas", "e.csv", 'image, caption\na.jpg,"one, two"\nb.jpg, three\n'],
    ["an unnamed first column", "c.tsv", "\timage\tcaption\n0\ta.jpg\tone, two\n1\tb.jpg\tthree\n"],
    ["a last column that rows lack", "f.csv", 'image,caption,n\na.jpg,"one, two"\nb.jpg,three,7\n'],
    ["delimiters at the ends of lines", "g.csv", 'image,caption\na.jpg,"one, two",\nb.jpg,three,,\n'],
    ["a mark and CRLF", "h.csv", '\ufeffimage,caption\r\na.jpg,"one, two"\r\nb.jpg,three\r\n'],
    ["CR alone", "i.csv", 'image,caption\ra.jpg,"one, two"\rb.jpg,three\r'],
    ["Excel's line about the delimiter", "j.csv", "sep=;\nimage;caption\na.jpg;one, two\nb.jpg;three\n"],
  ])("are read: %s", async (_, name, content) => {
    const lines = name === "j.csv" ? two.map((line) => line.replace(/\d/, (n) => `${Number(n) + 1}`)) : two;
    expect(await read(name, content)).toEqual({ rows: lines, skipped: [] });
  });

  it("are read with LF and CRLF in one", async () => {
    const { rows } = await read("ends.csv", "image,caption\r\na.jpg,one\nb.jpg,two\r\nc.jpg,th\rree\n");
    expect(rows.map((row) => row.replace(/^line \d: /, ""))).toEqual(["a.jpg=one", "b.jpg=two", "c.jpg=th\rree"]);
  });

  it.each([
    [
      "two marks that stay open",
      'image,caption\nx.jpg,0\ny.jpg,0\na.jpg,"one\nb.jpg,two\nc.jpg,"three\nz.jpg,"4\n4, 5"\n',
    ],
    ["the end of another", 'image\tcaption\nx.jpg\t0\ny.jpg\t0\na.jpg\t"one\nb.jpg\ttwo"\nz.jpg\t"4\n4, 5"\n'],
    ["the name last", 'caption;image\n0;x.jpg\n0;y.jpg\n"one;a.jpg\ntwo";b.jpg\n"4\n4, 5";z.jpg\n'],
  ])("give no row the text of others that a quotation mark joins to it: %s", async (_, content) => {
    const { rows, skipped } = await read("marks.csv", content);
    expect(rows.map((row) => row.replace(/^.*: /, ""))).toEqual(["x.jpg=0", "y.jpg=0", "z.jpg=4\n4, 5"]);
    expect(skipped.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^a quotation mark that is never closed joins several rows to one/) as string,
    ]);
  });

  it("are refused where a column that is read stands there twice", async () => {
    await expect(read("twice.csv", "image,caption,caption\na.jpg,one,uno\n")).rejects.toThrow(
      /twice\.csv has the column "caption" twice; rename one of them$/,
    );
  });

  it("are read as JSONL with Python's numbers, CRLF, and CR alone", async () => {
    const lines = [
      '{"image": "a.jpg", "caption": "one, two", "score": NaN, "NaN": [-Infinity, "NaN, \\" Infinity"]}',
      '{"image": "b.jpg", "caption": "three"}',
      '{"image": "c.jpg", "caption": NaN}',
      "{nonsense",
      '{"image": "d.jpg", "caption": "-Infinity"}',
    ];
    for (const end of ["\n", "\r\n", "\r"])
      expect(await read("python.jsonl", lines.join(end))).toEqual({
        rows: ["line 1: a.jpg=one, two", "line 2: b.jpg=three", "line 5: d.jpg=-Infinity"],
        skipped: [
          { image: join(root, "python.jsonl") + ", line 3", reason: '"caption" is empty' },
          {
            image: join(root, "python.jsonl") + ", line 4",
            reason: expect.stringMatching(/^it is not JSON: /) as string,
          },
        ],
      });
  });

  it("count lines alike wherever CR and LF fall into pieces", async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => `{"image":"${i}.jpg","caption":"${"x".repeat(i % 7)}y"}`);
    const { rows } = await read("pieces.jsonl", lines.join("\r\n"));
    expect(rows).toHaveLength(30_000);
    expect(rows.at(-1)).toMatch(/^line 30000: 29999\.jpg/);
  });

  it.skipIf(process.platform === "win32")("are files: a pipe or a device is refused at once", async () => {
    execFileSync("mkfifo", [join(root, "pipe.csv")]);
    await symlink("/dev/zero", join(root, "zero.jsonl"));
    for (const name of ["pipe.csv", "zero.jsonl"])
      await expect(readTexts(join(root, name), columns)).rejects.toThrow(
        `${join(root, name)} cannot be read: it is a pipe, a socket or a device; copy what it gives to a file`,
      );
  });

  it("are refused where they are UTF-16 without a mark, or no text", async () => {
    const utf16 = Buffer.from("image,caption\na.jpg,b\n", "utf16le");
    await expect(read("utf16.csv", utf16)).rejects.toThrow(/utf16\.csv is UTF-16LE and not UTF-8/);
    const late = Buffer.concat([Buffer.from("image,caption\n" + "a.jpg,b\n".repeat(20_000)), Buffer.of(0)]);
    await expect(read("late.csv", late)).rejects.toThrow(/late\.csv is a binary file and not text/);
  });
});

it("tables are known by their names", () => {
  expect(["a.csv", "a.TSV", "a.jsonl", "a.json"].map(isTableName)).toEqual([true, true, true, false]);
  expect(["a.csv", "a.TSV", "a.jsonl"].map(isSeparated)).toEqual([true, true, false]);
});
