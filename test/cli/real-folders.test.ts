import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { readPairs } from "../../src/inputs/data/pairs.ts";
import { writeRandomImage } from "../images.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { call } from "./call.ts";

/** Each loads a model, which takes a second or, on a machine that does much else, a minute. */
const timeout = 300_000;

const root = await temporaryFolder();
let png: Buffer;
let jpeg: Buffer;
beforeAll(async () => {
  png = await readFile(await writeRandomImage(join(root, "random.png"), 1));
  jpeg = await sharp(png).jpeg().toBuffer();
});

/** The model that is here without a network. */
const ofDrawings = ["--model", "pictograms"];

async function folder(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name, path)), { recursive: true });
    await writeFile(join(root, name, path), content);
  }
  return join(root, name);
}

describe("class folders with whatever people have in them", () => {
  const classes = async (name: string) => {
    const path = await folder(name, {
      ...{ "cat/a.jfif": jpeg, "cat/b": png, "cat/C.PNG": png, "cat/.d.png": png, "dog/a.jpe": jpeg },
      ...{ "@eaDir/t.png": png, ".ipynb_checkpoints/x.png": png, "__MACOSX/cat/._a.jfif": "..", "emu/raw.heic": "no" },
    });
    await symlink(path, join(path, "dog/loop"));
    return path;
  };
  let path: string;
  let skipped: { image: string; reason: string }[];
  let said: string[];
  beforeAll(async () => {
    path = await classes("alike");
    skipped = [
      { image: join(path, "emu/raw.heic"), reason: "its content has no known image format" },
      { image: join(path, "emu"), reason: "it is no class here: none of its images can be used" },
    ];
    said = skipped.map(({ image, reason }) => `skipped: ${image}: ${reason}`);
  });

  it("are read by eval, which says what it leaves out", { timeout }, async () => {
    const { out, err } = await call(["eval", "zeroshot", path, "--json", ...ofDrawings]);
    for (const line of said) expect(err).toContain(line);
    expect(JSON.parse(out)).toMatchObject({ skipped, results: [{ count: 4 }] });
  });

  it("are read alike by probe", { timeout }, async () => {
    const { out, err } = await call(["probe", path, "--test", path, "--lambda", "1", "--json", ...ofDrawings]);
    for (const line of said) expect(err).toContain(line);
    const document = { results: { classes: ["cat", "dog"], images: { train: 4, test: 4 } }, skipped };
    expect(JSON.parse(out)).toMatchObject(document);
  });

  it("are read alike by data", { timeout }, async () => {
    const { out } = await call(["data", "check", path, "--class-template", "a {}", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ results: { pairs: 4 }, skipped: skipped.slice(0, 1) });
  });

  it("are read alike by embed", { timeout }, async () => {
    const { out } = await call(["embed", path, "--out", join(root, "alike-vectors"), "--json", ...ofDrawings]);
    expect(JSON.parse(out)).toMatchObject({ results: [{ vectors: 4 }], skipped: [{ image: "emu/raw.heic" }] });
  });
});

describe("clip-ts data pack", () => {
  it("copies no file from outside the table's folder, by path or by link", async () => {
    await writeFile(join(root, "secret.png"), png);
    const rows = (path: string) => `image,caption\na.png,one\n${path},two\n`;
    for (const [i, path] of ["../secret.png", "/etc/passwd"].entries()) {
      const set = await folder(`outside-${i}`, { "table.csv": rows(path), "a.png": png });
      const { code, out, err } = await call(["data", "pack", join(set, "table.csv"), join(root, `shards-${i}`)]);
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain(`table.csv, line 3: ${path} is outside ${set}, the table's folder`);
    }
    const set = await folder("linked", { "table.csv": rows("link.png"), "a.png": png });
    await symlink(join(root, "secret.png"), join(set, "link.png"));
    const linked = await call(["data", "pack", join(set, "table.csv"), join(root, "shards-linked")]);
    expect(linked.out).toMatch(/1 pair,/);
    expect(linked.err).toContain("link.png is a link to");
    const followed = await call(["data", "pack", join(set, "table.csv"), join(root, "shards-all"), "--images", set]);
    expect(followed.out).toMatch(/2 pairs/);
  });

  it("copies nothing but images, under endings that readers know", async () => {
    const set = await folder("mixed", {
      ...{ "a.jpg": "root:x:0:0", "a.txt": "not an image", "b.jfif": jpeg, "b.txt": "b", c: png, "c.txt": "c" },
    });
    const { code, err } = await call(["data", "pack", set, join(root, "mixed-shards")]);
    expect(code).toBe(0);
    expect(err).toBe(`skipped: ${join(set, "a.jpg")}: its content has no known image format`);
    const listed = execFileSync("tar", ["-tf", join(root, "mixed-shards/000000.tar")], { encoding: "utf8" });
    expect(listed.match(/\.\w+$/gm)!.sort()).toEqual([".jpg", ".png", ".txt", ".txt"]);
  });
});

describe("tables", () => {
  it("with absolute paths are read where --images names their folder", { timeout }, async () => {
    const images = await folder("elsewhere", { "a.png": png });
    const set = await folder("absolute", { "t.csv": `image\n${join(images, "a.png")}\n` });
    const refused = await call(["embed", join(set, "t.csv"), "--out", join(root, "v0"), ...ofDrawings]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("name a folder that holds all its images by images (--images)");
    const read = await call([
      "embed",
      join(set, "t.csv"),
      "--images",
      images,
      "--out",
      join(root, "v1"),
      "--json",
      ...ofDrawings,
    ]);
    expect(JSON.parse(read.out)).toMatchObject({ results: [{ vectors: 1 }] });
  });
});

describe.skipIf(sharedMissing)(`inputs that people had trouble with${sharedMissing}`, () => {
  const cases = join(sharedFolder, "cases");

  it("a shard whose keys have dots gives each image its own caption", async () => {
    const { samples, skipped } = await readPairs(join(cases, "webdataset-dots/dates.tar"));
    expect(skipped).toEqual([]);
    expect(samples.map(({ captions: [caption] }) => caption)).toEqual(
      ["bicycle", "guitar", "house", "pizza", "rocket", "snail", "sunflower", "umbrella"].map((name) => `a ${name}`),
    );
  });

  it("tables are read whatever separates their values, and without their one bad line", async () => {
    const set = await folder("csv-tabs", { "pics/house.png": png });
    await cp(join(cases, "csv-tabs"), set, { recursive: true });
    for (const name of ["tab.csv", "comma.tsv"]) expect((await readPairs(join(set, name))).samples).toHaveLength(8);
    const { samples, skipped } = await readPairs(join(set, "nan.jsonl"));
    expect(samples).toHaveLength(7);
    expect(skipped).toEqual([{ image: join(set, "pics/bicycle.png"), reason: "its caption is empty" }]);
  });

  it("hidden folders are no classes in any reader", async () => {
    const path = join(cases, "hidden-folders/hid");
    const { samples } = await readPairs(path, { classTemplates: ["a {}"] });
    expect(samples.map(({ captions }) => captions[0])).toEqual(["a pizza", "a rocket"]);
  });
});

describe("before a model is fetched", () => {
  const model = join(root, "no-such-model");
  it.each([
    ["classify", /nowhere\.png does not exist/, ["classify", join(root, "nowhere.png"), "--labels", "a,b"]],
    ["classify, of several", /none of 2 images can be read/, ["classify", "no.png", "no2.png", "--labels", "a,b"]],
    ["classify, of labels", /label 2 of 2 is empty/, ["classify", "no.png", "--labels", "a,"]],
    [
      "embed",
      /nowhere cannot be opened: it does not exist/,
      ["embed", join(root, "nowhere"), "--out", join(root, "v")],
    ],
    ["embed, of texts", /nowhere\.txt/, ["embed", join(root, "nowhere.txt"), "--texts", "--out", join(root, "v")]],
    ["eval", /nowhere: it does not exist/, ["eval", "zeroshot", join(root, "nowhere")]],
    ["probe", /nowhere: it does not exist/, ["probe", join(root, "nowhere"), "--out", join(root, "p")]],
    ["finetune", /nowhere cannot be opened/, ["finetune", join(root, "nowhere"), "--out", join(root, "tuned")]],
  ])("%s says that its input is missing", { timeout }, async (_, message, args) => {
    const { code, err } = await call([...args, "--model", model, "--offline"]);
    expect(err).toMatch(message);
    expect(err).not.toContain(model);
    expect(code).toBeGreaterThan(0);
  });

  it("classify reads each image once, and reports those that cannot be read in their order", { timeout }, async () => {
    const path = await folder("order", { "a.png": "no image", "b.png": png, "c.png": "" });
    const args = ["a.png", "b.png", "c.png"].map((name) => join(path, name));
    const { code, out, err } = await call(["classify", ...args, "--labels", "a,b", "--model", "pictograms", "--json"]);
    expect((JSON.parse(out) as { results: unknown[] }).results).toMatchObject([{ image: args[1] }]);
    const skipped = err.split("\n").filter((line) => line.startsWith(`skipped: ${path}`));
    expect(skipped.map((line) => line.slice(path.length + 10, path.length + 15))).toEqual(["a.png", "c.png"]);
    expect([code, err]).toEqual([1, expect.stringContaining("2 of 3 named images could not be read") as string]);
  });
});

describe("every kind of source of images and captions", () => {
  it("is read by eval retrieval", { timeout }, async () => {
    const path = await folder("captioned", {
      ...{ "a.png": png, "a.txt": "a cat", "b.jfif": jpeg, "b.txt": "a dog", "c.heic": "no", "c.txt": "a cow" },
      "t.jsonl": '{"image": "a.png", "caption": "a cat"}\n{"image": "b.jfif", "caption": "a dog"}\n',
      "t.csv": "image,caption\na.png,a cat\nb.jfif,a dog\n",
    });
    execFileSync("tar", ["cf", join(path, "..", "captioned.tar"), "a.png", "a.txt", "b.jfif", "b.txt"], { cwd: path });
    for (const source of [path, join(path, "t.jsonl"), join(path, "t.csv"), `${path}.tar`]) {
      const { out, err } = await call(["eval", "retrieval", source, "--model", "pictograms", "--json"]);
      expect([source, JSON.parse(out || `${JSON.stringify(err)}`)]).toMatchObject([
        source,
        { results: [{ images: 2 }] },
      ]);
    }
  });
});

describe("data pack", () => {
  it("fails, and writes nothing, when no image is left", { timeout }, async () => {
    const path = await folder("unpackable", { "a.png": "no image", "a.txt": "a cat", "b.jpg": "", "b.txt": "a dog" });
    const shards = join(root, "unpackable-shards");
    const { code, out, err } = await call(["data", "pack", path, shards]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/none of 2 images can be packed \(.*(a\.png|b\.jpg): /);
    await expect(readdir(shards)).rejects.toThrow("ENOENT");
  });

  it("fills its shards whatever is left out", { timeout }, async () => {
    const names = [0, 1, 2, 3, 4, 5, 6, 7];
    const files = names.flatMap((i) => [
      [`${i}.png`, i % 2 === 0 ? png : "no image"],
      [`${i}.txt`, "a cat"],
    ]);
    const path = await folder("half", Object.fromEntries(files) as Record<string, string>);
    const { out, err } = await call(["data", "pack", path, join(root, "half-shards"), "--shard-size", "3", "--json"]);
    const { results, skipped } = JSON.parse(out) as { results: { pairs: number }[]; skipped: unknown[] };
    expect([results.map(({ pairs }) => pairs), skipped.length]).toEqual([[3, 1], 4]);
    expect(err.match(/skipped/g)).toHaveLength(4);
  });

  it("says which images lie beside shards, which alone are read", { timeout }, async () => {
    const path = await folder("beside-shards", { "a.png": png, "a.txt": "a cat", "b/c.png": png });
    execFileSync("tar", ["cf", join(path, "0.tar"), "a.png", "a.txt"], { cwd: path });
    await writeFile(join(path, "._0.tar"), "litter");
    await writeFile(join(path, "b/1.tar"), "");
    const { samples, skipped } = await readPairs(path);
    expect(samples.map(({ image }) => image)).toEqual([join(path, "0.tar/a.png")]);
    const beside = expect.stringContaining("it lies beside shards") as string;
    expect(skipped).toEqual([
      { image: join(path, "a.png"), reason: beside },
      { image: join(path, "b/c.png"), reason: beside },
      { image: join(path, "b/1.tar"), reason: expect.stringContaining("it is a shard in a folder") as string },
    ]);
  });
});
