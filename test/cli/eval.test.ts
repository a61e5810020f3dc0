import { copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collect } from "../../src/model/embedding/encoder.ts";
import { loadClip } from "../../src/model/zero-shot/clip.ts";
import { ZeroShotClassifier } from "../../src/model/zero-shot/classifier.ts";
import { serveFiles, shardBytes, writeBenchmarkSet } from "../benchmark-set.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const data = join(root, "data");
const classes = ["blue_sea", "red_apple", "sun"];
const images: { readonly image: string; readonly label: number }[] = [];
for (const [label, name] of classes.entries()) {
  await mkdir(join(data, name), { recursive: true });
  for (let i = 0; i < 3; i++) {
    images.push({ image: await writeRandomImage(join(data, name, `${i}.png`), 3 * label + i), label });
  }
}
const fileOf = async (name: string, ...lines: string[]) => {
  await writeFile(join(root, name), `${lines.join("\n")}\n`);
  return join(root, name);
};

/** The share of images that the classifier itself gives the right name. */
async function top1Of(names: readonly string[], templates?: readonly string[]): Promise<number> {
  await using clip = await loadClip(model);
  const classifier = await ZeroShotClassifier.create(clip, names, { templates });
  const embeds = await collect(clip.encodeImages(images.map(({ image }) => image)));
  return embeds.filter((embed, i) => classifier.rank(embed)[0]!.label === names[images[i]!.label]).length / 9;
}

interface Document {
  readonly model: readonly string[];
  readonly results: readonly {
    readonly model: string;
    readonly templates: readonly string[];
    readonly count: number;
    readonly top1: number;
    readonly classes: readonly { readonly name: string; readonly count: number }[];
    readonly answers?: readonly unknown[];
    readonly published?: unknown;
  }[];
}
const zeroShot = (...args: string[]) => call(["eval", "zeroshot", data, "--model", model, ...args]);
const documentOf = async (...args: string[]) => {
  const { code, out, err } = await zeroShot("--json", ...args);
  expect([code, err]).toEqual([0, ""]);
  return JSON.parse(out) as Document;
};

describe("clip-ts eval zeroshot", () => {
  it("names the images of class folders by the folders' names, _ as a blank", async () => {
    const { results: models } = await documentOf();
    const names = ["blue sea", "red apple", "sun"];
    expect(models).toMatchObject([{ model, count: 9, top1: await top1Of(names) }]);
    expect(models[0]!.classes).toMatchObject(names.map((name) => ({ name, count: 3 })));
    expect(models[0]!.answers).toHaveLength(9);
  });

  it("takes names and templates from files as CLIP_benchmark publishes them", async () => {
    const names = ["the sea", "green apple", "the sun"];
    const document = await documentOf(
      ...["--labels-file", await fileOf("classnames.txt", ...names)],
      ...["--templates-file", await fileOf("templates.txt", "a {c}", "the picture of the {c}")],
    );
    const [scores] = document.results;
    expect(scores!.templates).toEqual(["a {}", "the picture of the {}"]);
    expect(scores!.top1).toBe(await top1Of(names, scores!.templates));
  });

  it("says which class folders are called the same, and goes on", async () => {
    const folder = join(root, "alike");
    for (const [i, name] of ["ice_cream", "Ice  cream", "sun"].entries()) {
      await mkdir(join(folder, name), { recursive: true });
      await writeRandomImage(join(folder, name, "0.png"), i);
    }
    const args = ["eval", "zeroshot", folder, "--model", model, "--model", model, "--json"];
    const { code, out, err } = await call(args);
    expect([code, err.match(/.*equal to the model.*/g)]).toEqual([
      0,
      [
        expect.stringMatching(
          /^the labels "(Ice {2}cream|ice cream)" and "(Ice {2}cream|ice cream)" are equal to the model/,
        ),
      ],
    ]);
    expect((JSON.parse(out) as Document).results[0]).toMatchObject({ count: 3, top1: expect.any(Number) as number });
  });

  it("goes on with classes whose first of several names are the same, as ImageNet has them", async () => {
    const file = await fileOf("cranes.txt", "blue_sea\tcrane|bird", "red_apple\tcrane|machine", "sun\tcrane|machine");
    const { code, out, err } = await zeroShot("--labels-file", file, "--json");
    expect([code, err]).toEqual([0, expect.stringContaining('two classes have the label "crane"') as string]);
    const [scores] = (JSON.parse(out) as Document).results;
    expect(scores!.classes.map(({ name, count }) => [name, count])).toEqual(Array(3).fill(["crane", 3]));
  });

  it("asks only for some classes, of images and of names", async () => {
    const { results: models } = await documentOf("--only", await fileOf("only.txt", "sun", "blue_sea"));
    expect(models[0]).toMatchObject({ count: 6, classes: [{ name: "blue sea" }, { name: "sun" }] });
  });

  it("asks only for some numbers of classes that a file names", async () => {
    const table = await fileOf(
      "numbers.csv",
      "image,label",
      ...images.map(({ image, label }) => `${image},${2 * label}`),
    );
    const { code, out } = await call([
      ...["eval", "zeroshot", table, "--model", model, "--json"],
      ...["--labels-file", await fileOf("six.txt", "a", "b", "c", "d", "e", "f")],
      ...["--only", await fileOf("numbers.txt", "4", "3")],
    ]);
    expect(code).toBe(0);
    expect((JSON.parse(out) as Document).results[0]).toMatchObject({
      count: 3,
      classes: [
        { name: "d", count: 0 },
        { name: "e", count: 3 },
      ],
    });
  });

  it("takes the images of a folder for a clip", async () => {
    expect((await documentOf("--videos")).results[0]!.count).toBe(3);
  });

  it("prints several models in one table, and what each confuses", async () => {
    const { code, out } = await zeroShot("--model", model);
    expect(code).toBe(0);
    const [head, ...rows] = out.split("\n");
    expect(head).toMatch(/^model +images +top-1 +top-5 +per class +mAP +ROC AUC +ECE$/);
    for (const row of rows.slice(0, 2)) expect(row).toMatch(/model +9 +\d+\.\d % +100\.0 %/);
    expect(out).toMatch(/\nmost frequent mistakes of .*\n +\d × \w+/);
  });

  it("writes a page, with JSON on the standard output if both are asked for", async () => {
    const page = join(root, "report.html");
    const { code, out, err } = await zeroShot("--html", page, "--json");
    expect([code, err]).toEqual([0, `wrote ${page}`]);
    expect(await readFile(page, "utf8")).toContain("The worst mistakes");
    expect(JSON.parse(out)).toMatchObject({ model: [model], data, results: [{ count: 9 }], skipped: [] });
  });

  it.each([
    [["--labels-file", "six"], /six\.txt has 6 classes, but the data have 3/],
    [["--only", "templates"], /templates\.txt asks for the class "a \{c\}"; the data have blue_sea, red_apple, sun/],
    [["--templates-file", "only"], /the template "sun" has no \{\}/],
  ])("says what is wrong with %j", async ([option, file], message) => {
    const { code, err } = await zeroShot(option!, join(root, `${file}.txt`));
    expect(code).toBeGreaterThan(0);
    expect(err).toMatch(message);
  });
});

describe("clip-ts eval zeroshot --dataset", async () => {
  const classNames = ["the sea", "green apple", "the sun"];
  const shard: Record<string, Uint8Array | string> = {};
  for (const [i, { image, label }] of images.entries()) {
    shard[`s${i}.png`] = await readFile(image);
    shard[`s${i}.cls`] = String(label);
  }
  const templates = ["a {c}", "the picture of the {c}"];
  const layout = { classNames, templates, shards: [shard] };
  const folder = await writeBenchmarkSet(join(root, "hub/datasets/clip-benchmark/wds_imagenet1k/resolve/main"), layout);
  const wanted = await top1Of(classNames, ["a {}", "the picture of the {}"]);
  const evaluate = async (...args: string[]) => {
    const { code, out, err } = await call(["eval", "zeroshot", "--model", model, "--json", ...args]);
    expect(code, err).toBe(0);
    return { ...(JSON.parse(out) as Document), err };
  };
  const hub = await serveFiles(join(root, "hub"));
  afterAll(() => hub.close());
  beforeEach(() => {
    vi.stubEnv("HF_ENDPOINT", hub.url);
    vi.stubEnv("XDG_CACHE_HOME", join(root, "cache"));
    for (const variable of ["HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"]) vi.stubEnv(variable, undefined);
  });
  afterEach(() => vi.unstubAllEnvs());

  it("names the images of a set in a folder by its names and templates", async () => {
    const { results: models, err } = await evaluate("--dataset", folder);
    expect([models[0]!.templates, err]).toEqual([["a {}", "the picture of the {}"], ""]);
    expect(models).toMatchObject([{ count: 9, top1: wanted, classes: classNames.map((name) => ({ name, count: 3 })) }]);
  });

  it("says that the rest of a set's shard is lost", async () => {
    const cut = await writeBenchmarkSet(join(root, "cut-set"), layout);
    const path = join(cut, "test/0.tar");
    await writeFile(path, (await readFile(path)).subarray(0, -1200));
    const { err, ...document } = await evaluate("--dataset", cut);
    expect(err).toMatch(/^skipped: .*0\.tar: the rest of the shard is lost: /);
    expect(document).toMatchObject({ skipped: [{ image: path }] });
  });

  it("fetches a set by its name after it has said whence and under which terms, and then needs no network", async () => {
    const { results: models, err } = await evaluate("--dataset", "imagenet");
    expect(models[0]!.top1).toBe(wanted);
    expect(err).toMatch(
      /^imagenet is from http:.*wds_imagenet1k\/resolve\/main; its images may be used under ImageNet's terms/,
    );
    hub.requests.length = 0;
    expect((await evaluate("--dataset", "imagenet", "--offline")).results[0]!.top1).toBe(wanted);
    expect(hub.requests).toEqual([]);
  });

  it("takes one's own copy of the images in WordNet's folders, and prints the published figure beside", async () => {
    for (const [i, { image, label }] of images.entries()) {
      const wnid = join(root, "copy", ["n01440764", "n01443537", "n01484850"][label]!);
      await mkdir(wnid, { recursive: true });
      await copyFile(image, join(wnid, `${i}.png`));
    }
    // A model that is called as one that was published.
    await cp(model, join(root, "RN50"), { recursive: true });
    const before = process.cwd();
    process.chdir(root);
    try {
      const page = join(root, "imagenet.html");
      const args = ["eval", "zeroshot", "copy", "--dataset", "imagenet", "--model", "RN50", "--model", model];
      const { code, out } = await call([...args, "--html", page]);
      expect(code).toBe(0);
      const [, comparison] = out.split("imagenet, top-1, the paper's metric\n");
      expect(comparison).toMatch(
        /^model +here +paper +released weights\nRN50 +(\d+\.\d %) +59\.6 % +59\.8 %\n.*model +\1 +– +–\n/,
      );
      expect(comparison).toMatch(/The paper used 50000 images; these are 9\.$/);
      expect(out.split("\n")[1]).toContain(`${(100 * wanted).toFixed(1)} %`);
      expect(await readFile(page, "utf8")).toMatch(/Paper, top-1[^]*59\.6/);
      const { results } = JSON.parse((await call([...args, "--json"])).out) as Document;
      expect(results.map(({ published }) => published)).toEqual([
        { metric: "top1", paper: 0.596, released: 0.598 },
        { metric: "top1" },
      ]);
    } finally {
      process.chdir(before);
    }
  });

  it("refuses a copy whose folders say neither names nor numbers", async () => {
    const { code, err } = await call(["eval", "zeroshot", data, "--dataset", folder, "--model", model]);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/\(blue_sea, red_apple, sun, …\), and their order is arbitrary/),
    ]);
  });

  it("takes names and templates in place of the set's, several names of a class too", async () => {
    const names = await fileOf("several.txt", "sea|blue", "apple|red", "sun");
    const { results: models } = await evaluate("--dataset", folder, "--labels-file", names, "--template", "the {}");
    expect(models[0]!.templates).toEqual(["the {}"]);
    expect(models[0]!.classes.map(({ name }) => name)).toEqual(["sea", "apple", "sun"]);
  });

  it.each([
    [[], /give a folder or table of labelled images, or a published data set with --dataset/],
    [["--dataset", "imagnet"], /did you mean "imagenet"\?/],
  ])("says what to give in place of %j", async (args, message) => {
    const { code, err } = await call(["eval", "zeroshot", "--model", model, ...args]);
    expect(code).toBeGreaterThan(0);
    expect(err).toMatch(message);
  });
});

describe("clip-ts eval retrieval", () => {
  interface Retrieved {
    readonly results: readonly {
      readonly images: number;
      readonly captions: number;
      readonly textRetrieval: { readonly r1: number };
    }[];
  }
  const rows = images.map(({ image }, i) => `${image}\tthe blue sea ${i}|the sun ${i}`);

  it("reads several captions a row, of columns by name, and prints both ways", async () => {
    const table = await fileOf("captions.tsv", "file\ttexts", ...rows);
    const args = ["eval", "retrieval", table, "--model", model, "--separator", "|"];
    const columns = ["--image-column", "file", "--caption-column", "texts"];
    const { code, out } = await call([...args, ...columns, "--json"]);
    expect(code).toBe(0);
    const { results: models } = JSON.parse(out) as Retrieved;
    expect(models).toMatchObject([{ images: 9, captions: 18 }]);
    const printed = await call([...args, ...columns]);
    expect(printed.out).toMatch(/^model +images +captions +image R@1 .*\n.*model +9 +18 +\d+\.\d %/);
    expect((await call(args)).err).toMatch(
      /has no column "image" or "path" or "filepath"; it has "file", "texts"; set imageColumn \(--image-column\)/,
    );
  });

  it("reads shards, as benchmarks of captions are published", async () => {
    const files = await Promise.all(
      images.map(async ({ image }, i) => [
        [`s${i}.png`, await readFile(image)] as const,
        [`s${i}.txt`, `the blue sea ${i}\nthe sun ${i}`] as const,
      ]),
    );
    const shard = join(root, "0.tar");
    await writeFile(shard, await shardBytes(Object.fromEntries<Uint8Array | string>(files.flat())));
    const page = join(root, "shards.html");
    const { code, out } = await call(["eval", "retrieval", shard, "--model", model, "--json", "--html", page]);
    expect(code).toBe(0);
    expect((JSON.parse(out) as Retrieved).results).toMatchObject([{ images: 9, captions: 18 }]);
    expect(await readFile(page, "utf8")).toContain("data:image/");
  });

  it("says what shards have beside pairs that can be used", async () => {
    const shard = join(root, "cut.tar");
    const [first, second] = await Promise.all(images.map(({ image }) => readFile(image)));
    const bytes = await shardBytes({ "a.png": first!, "a.txt": "the sun", "b.png": second!, "c.txt": "the sea" });
    await writeFile(shard, bytes.subarray(0, -1200));
    const { code, out, err } = await call(["eval", "retrieval", shard, "--model", model, "--json"]);
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(
        /^skipped: .*cut\.tar\/b\.png: there is no \.txt or \.json with its captions\nskipped: .*cut\.tar: the shard is cut or damaged; 1 pair could be read, .*$/,
      ),
    ]);
    expect(JSON.parse(out)).toMatchObject({ skipped: [{ image: `${shard}/b.png` }, { image: shard }] });
  });

  it("reads a folder with captions beside the images, and writes a page", async () => {
    for (const { image } of images) await writeFile(image.replace(".png", ".txt"), "the blue sea\nthe sun\n");
    const page = join(root, "retrieval.html");
    const { code, out, err } = await call(["eval", "retrieval", data, "--model", model, "--html", page, "--json"]);
    expect([code, err]).toEqual([0, `wrote ${page}`]);
    expect(await readFile(page, "utf8")).toContain("The hardest captions");
    // Nine images have the same two captions: none is found by them, since ties count against the model.
    expect((JSON.parse(out) as Retrieved).results).toMatchObject([
      { images: 9, captions: 18, textRetrieval: { r1: 0 } },
    ]);
  });
});

it("clip-ts eval clipscore prints both scores, and each caption's as JSON", async () => {
  const rows = images.map(({ image }) => `${image}\tthe sun\tthe blue sea|the sun`);
  const table = await fileOf("candidates.tsv", "image\tcaption\tpeople", ...rows);
  const args = ["eval", "clipscore", table, "--model", model, "--reference-column", "people"];
  const { code, out } = await call(args);
  expect(code).toBe(0);
  expect(out).toMatch(/^model +captions +CLIPScore +RefCLIPScore\n.*model +9 +\d\.\d{4} +\d\.\d{4}$/);
  const document = JSON.parse((await call([...args, "--json"])).out) as { results: { captions: unknown[] }[] };
  expect(document.results[0]!.captions).toHaveLength(9);
});

it("clip-ts eval geolocation prints the shares within each distance", async () => {
  const rows = images.map(({ image }, i) => `${image},${i},0`);
  const table = await fileOf("places.csv", "filepath,latitude,longitude", ...rows);
  const { code, out } = await call(["eval", "geolocation", table, "--references", table, "--model", model]);
  expect(code).toBe(0);
  expect(out).toMatch(/^model +images +references +1 km +25 km.*\n.*model +9 +9 +100\.0 % +100\.0 %/);
});

it.each([
  ["zeroshot", "image,label", ["sun", "sea", "sun"], []],
  ["retrieval", "image,caption", ["a sun", "a sea", "a sun"], []],
  ["clipscore", "image,caption", ["a sun", "a sea", "a sun"], []],
  ["geolocation", "image,latitude,longitude", ["1,1", "2,2", "3,3"], ["--references", "placed.csv"]],
])("clip-ts eval %s lists as skipped what cannot be decoded", async (what, header, values, others) => {
  const broken = join(root, "broken.png");
  await writeFile(broken, "no image");
  await fileOf("placed.csv", "image,latitude,longitude", `${images[0]!.image},1,1`);
  const places = [images[0]!.image, images[4]!.image, broken];
  const table = await fileOf(`${what}-broken.csv`, header, ...places.map((place, i) => `${place},${values[i]!}`));
  const where = others.map((arg) => (arg.startsWith("--") ? arg : join(root, arg)));
  const { code, out } = await call(["eval", what, table, ...where, "--model", model, "--json"]);
  expect(code).toBe(0);
  expect((JSON.parse(out) as { skipped: unknown }).skipped).toEqual([
    { image: broken, reason: expect.stringMatching(/is text, not an image/) as string },
  ]);
});
