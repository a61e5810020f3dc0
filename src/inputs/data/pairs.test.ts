import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClipError } from "../../core/errors.ts";
import { readPairs } from "./pairs.ts";

let root: string;
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "clip-ts-pairs-"));
});
afterAll(() => rm(root, { recursive: true }));

/** A new folder with these files; images are never opened here, so any content will do. */
async function folder(files: Record<string, string | Uint8Array>): Promise<string> {
  const path = join(root, String(made++));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ClipError);
  expect((error as ClipError).code).toBe("CLIP_DATA");
  return (error as ClipError).message;
}

describe("a folder of images and captions", () => {
  it("gives each image the lines beside it, through nested folders, in order of path", async () => {
    const path = await folder({
      "b.PNG": "",
      "b.txt": "\n  a dog \r\n\r\na brown dog\n",
      "a/deep/c.webp": "",
      "a/deep/c.txt": "eine Möwe",
      "notes.md": "no image",
    });
    expect(await readPairs(path)).toMatchObject({
      samples: [
        { image: join(path, "a/deep/c.webp"), captions: ["eine Möwe"] },
        { image: join(path, "b.PNG"), captions: ["a dog", "a brown dog"] },
      ],
      skipped: [],
    });
  });

  it("counts and lists the images whose captions are missing, empty, in another encoding or endless", async () => {
    const path = await folder({
      "a.jpg": "",
      "a.txt": "kept",
      "b.jpg": "",
      "c.jpg": "",
      "c.txt": " \n",
      "d.jpg": "",
      "d.txt": Uint8Array.of(0x4d, 0xf6, 0x77, 0x65), // "Möwe" in Latin-1
      "e.jpg": "",
      "e.txt": "x".repeat(10_001),
    });
    const { samples, skipped } = await readPairs(path);
    expect(samples.map(({ captions }) => captions)).toEqual([["kept"]]);
    expect(skipped.map(({ image, reason }) => `${image.slice(path.length + 1)}: ${reason}`)).toEqual([
      "b.jpg: there is no .txt with its captions",
      "c.jpg: its caption is empty",
      `d.jpg: ${join(path, "d.txt")}, line 1 is not UTF-8; save it as UTF-8`,
      "e.jpg: its caption is longer than 10000 characters",
    ]);
  });

  it("is refused when it is missing or holds no pair, and says what one looks like", async () => {
    expect(await errorOf(readPairs(join(root, "nowhere")))).toMatch(
      /nowhere cannot be opened: it does not exist; name a folder/,
    );
    expect(await errorOf(readPairs(await folder({ "notes.md": "" })))).toMatch(/a\.jpg and a\.txt.*there are none/);
    const lonely = await folder({ "a.jpg": "", "b.jpg": "" });
    expect(await errorOf(readPairs(lonely))).toMatch(/all 2 were skipped \(.*a\.jpg: there is no \.txt/);
  });
});

describe("synthetic captions", () => {
  const wanted = { synthetic: true };

  it("are read beside images, from a second column and by its name, where they are asked for", async () => {
    const path = await folder({
      ...{ "a.jpg": "", "a.txt": "a dog", "a.synthetic.txt": "\nA dog runs.\n It is brown!\n" },
      ...{ "b.jpg": "", "b.txt": "a cat" },
      "p.csv": "image,caption,re_caption\na.jpg,a dog,A dog runs. It is brown!\nb.jpg,a cat,\n",
      "p.jsonl":
        '{"image":"a.jpg","caption":"a dog","long":["A dog runs.","It is brown!"]}\n{"image":"b.jpg","caption":"a cat"}',
    });
    const samples = [
      { image: join(path, "a.jpg"), captions: ["a dog"], synthetic: "A dog runs. It is brown!" },
      { image: join(path, "b.jpg"), captions: ["a cat"] },
    ];
    expect((await readPairs(path, wanted)).samples).toEqual(samples);
    const inTables = samples.map((sample) => ({ ...sample, within: path }));
    expect((await readPairs(join(path, "p.csv"), wanted)).samples).toEqual(inTables);
    const long = { ...wanted, syntheticColumn: "long" };
    expect((await readPairs(join(path, "p.jsonl"), long)).samples).toEqual(inTables);
    for (const source of [path, join(path, "p.csv")])
      for (const sample of (await readPairs(source)).samples) expect(sample).not.toHaveProperty("synthetic");
  });

  it("that are nowhere are refused, with the columns that there are", async () => {
    const path = await folder({
      ...{ "a.jpg": "", "a.txt": "a dog", "p.csv": "image,caption,alt\na.jpg,a dog,x\n" },
      "q.csv": "image,caption,synthetic\na.jpg,a dog,\n",
    });
    expect(await errorOf(readPairs(join(path, "p.csv"), wanted))).toMatch(
      /no column "synthetic" or "re_caption"; it has "image", "caption", "alt"; set syntheticColumn \(--synthetic-column\) to one of them/,
    );
    for (const source of [path, join(path, "q.csv")]) {
      expect(await errorOf(readPairs(source, wanted))).toMatch(/holds no synthetic captions: expected a column/);
    }
  });

  it("that cannot be used are listed with the reason", async () => {
    const path = await folder({
      ...{ "a.jpg": "", "a.txt": "kept", "a.synthetic.txt": "a dog", "b.jpg": "", "b.txt": "b" },
      "b.synthetic.txt": Uint8Array.of(0x4d, 0xf6),
      ...{ "c.jpg": "", "c.txt": "c", "c.synthetic.txt": "x".repeat(10_001) },
      "p.jsonl": '{"image":"a.jpg","caption":"a","synthetic":5}',
    });
    const { samples, skipped } = await readPairs(path, wanted);
    expect(samples).toHaveLength(1);
    expect(skipped.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/b\.synthetic\.txt, line 1 is not UTF-8/),
      "its synthetic caption is longer than 10000 characters",
    ]);
    expect(await errorOf(readPairs(join(path, "p.jsonl"), wanted))).toMatch(
      /line 1: "synthetic" must be a string or a list of strings/,
    );
  });
});

describe("a table or JSONL file", () => {
  const expected = ["a dog, running", 'a sign that says "stop"', "two\nlines"];

  it("is read as CSV with quotes, commas and line breaks inside, a byte order mark and empty lines", async () => {
    const text =
      '\ufeffimage,caption\r\nx/a.jpg,"a dog, running"\r\n\r\nb.jpg,"a sign that says ""stop"""\r\nc.jpg,"two\nlines"\r\n';
    const path = await folder({ "pairs.csv": text, "x/a.jpg": "" });
    const { samples } = await readPairs(join(path, "pairs.csv"));
    expect(samples.map(({ captions }) => captions)).toEqual(expected.map((caption) => [caption]));
    expect(samples.map(({ image }) => image)).toEqual(["x/a.jpg", "b.jpg", "c.jpg"].map((name) => join(path, name)));
  });

  it("is read as TSV, where a quotation mark may stand for itself", async () => {
    const path = await folder({ "p.TSV": 'title\tn\tfilepath\n"Stop" sign\t1\ta.jpg\n5" disk\t2\tb.jpg', "a.jpg": "" });
    const { samples } = await readPairs(join(path, "p.TSV"));
    expect(samples.map(({ captions: [caption] }) => caption)).toEqual(['"Stop" sign', '5" disk']);
  });

  it("is read as JSONL with a caption or several, and with columns by name, even odd ones", async () => {
    const lines = [
      '{"image":"a.jpg","caption":"one"}',
      "",
      '{"caption":["x"," ","y"],"image":"./b.jpg","artist":"me"}',
    ];
    const path = await folder({
      "p.jsonl": lines.join("\n"),
      "q.jsonl": '{"__proto__":"a.jpg","constructor":"odd"}',
      "a.jpg": "",
    });
    expect((await readPairs(join(path, "p.jsonl"))).samples).toEqual([
      { image: join(path, "a.jpg"), within: path, captions: ["one"] },
      { image: join(path, "b.jpg"), within: path, captions: ["x", "y"] },
    ]);
    const odd = { imageColumn: "__proto__", captionColumn: "constructor" };
    expect((await readPairs(join(path, "q.jsonl"), odd)).samples).toEqual([
      { image: join(path, "a.jpg"), within: path, captions: ["odd"] },
    ]);
  });

  it("reads values alike however its bytes fall into pieces", async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => ({
      image: "a.jpg",
      caption: `Möwe ${i} ${"é".repeat(i % 17)}`,
    }));
    const path = await folder({
      "p.jsonl": rows.map((row) => JSON.stringify(row)).join("\n"),
      "p.csv": `image,caption\n${rows.map(({ image, caption }) => `${image},${caption}`).join("\n")}\n`,
      "a.jpg": "",
    });
    const captions = rows.map(({ caption }) => [caption.trim()]);
    for (const name of ["p.jsonl", "p.csv"]) {
      const { samples } = await readPairs(join(path, name));
      expect(samples.map((sample) => sample.captions)).toEqual(captions);
    }
  });

  it("lists rows without a caption as skipped", async () => {
    const path = await folder({ "p.csv": "image,caption\na.jpg,\nb.jpg,a bee\n", "b.jpg": "" });
    const { samples, skipped } = await readPairs(join(path, "p.csv"));
    expect(samples).toHaveLength(1);
    expect(skipped).toEqual([{ image: join(path, "a.jpg"), reason: "its caption is empty" }]);
  });

  const refused: [string, string, string | Uint8Array, RegExp, object?][] = [
    [
      "a column that is missing, naming those there are",
      "p.csv",
      "file,text\na,b\n",
      /"image" or "path" or "filepath"; it has "file", "text"; set imageColumn \(--image-column\)/,
    ],
    [
      "a column asked for that is missing",
      "p.csv",
      "image,text\na,b\n",
      /no column "label"; it has "image", "text"; set captionColumn \(--caption-column\)/,
      { captionColumn: "label" },
    ],
    [
      "a table of names only",
      "p.csv",
      "image,caption\n",
      /no training pairs: expected rows below the names, but there are none/,
    ],
    ["an empty file", "p.jsonl", "", /no training pairs/],
    [
      "a row of the wrong length",
      "p.csv",
      "image,caption\na,b\na,b,c\n",
      /p\.csv, line 3: it has 3 values for 2 columns.*; 1 of 2 rows that were read cannot be used/,
    ],
    ["a quote that never ends", "p.csv", 'image,caption\na,"b\nc,d\n', /Quote Not Closed/],
    [
      "a line that is no JSON",
      "p.jsonl",
      '{"image":"a","caption":"b"}\n\n{"image":',
      /p\.jsonl, line 3: it is not JSON/,
    ],
    ["a line that is no object", "p.jsonl", '["a","b"]', /line 1: expected an object/],
    [
      "a caption that is no text",
      "p.jsonl",
      '{"image":"a","caption":{"en":"b"}}',
      /line 1: "caption" must be a string or a list/,
    ],
    ["a row without an image", "p.csv", "image,caption\na,b\n,c\n", /line 3: "image" must be the path of an image/],
    [
      "another encoding",
      "p.csv",
      Uint8Array.of(0x69, 0x2c, 0xff, 0x0a),
      /p\.csv, line 1 is not UTF-8; save it as UTF-8$/,
    ],
    [
      "UTF-16",
      "p.csv",
      Buffer.from("\ufeffimage,caption\na.jpg,b\n", "utf16le"),
      /p\.csv is UTF-16 and not UTF-8.*iconv/,
    ],
    [
      "another encoding far inside",
      "p.jsonl",
      Buffer.concat([Buffer.from('{"image":"a","caption":"é"}\n'.repeat(9000)), Buffer.from("M\xf6we", "latin1")]),
      /p\.jsonl, line 9001 is not UTF-8/,
    ],
    ["an endless line of JSON", "p.jsonl", `{"image":"${"x".repeat(2 ** 21)}`, /line 1: a line is longer than 1048576/],
    ["an endless field", "p.csv", `image,caption\na,"${"x".repeat(2 ** 21)}`, /Max Record Size/],
    [
      "images none of which exists",
      "p.csv",
      "image,caption\na.jpg,b\nc.jpg,d\n",
      /none of the first 2 images.*a\.jpg; paths in it are relative/,
    ],
    ["another kind of file", "p.xlsx", "PK", /expected a folder .*\.csv, \.tsv, \.jsonl or \.parquet file/],
  ];
  it.each(refused)("is refused for %s", async (_, name, content, message, columns = {}) => {
    const path = await folder({ [name]: content });
    expect(await errorOf(readPairs(join(path, name), columns))).toMatch(message);
  });
});
