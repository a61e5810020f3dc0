import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { readPairs } from "../../src/train/index.ts";
import { writeRandomPicture } from "../pictures.ts";
import { sharedFolder, sharedMissing } from "../read-fixture.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { call } from "./call.ts";

/** Each loads a model, which takes a second or, on a machine that does much else, a minute. */
const timeout = 300_000;

const root = await temporaryFolder();
let png: Buffer;
let jpeg: Buffer;
beforeAll(async () => {
  png = await readFile(await writeRandomPicture(join(root, "random.png"), 1));
  jpeg = await sharp(png).jpeg().toBuffer();
});

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
      { image: join(path, "emu/raw.heic"), reason: "its content is that of no known image format" },
      { image: join(path, "emu"), reason: "it is no class here: none of its pictures can be used" },
    ];
    said = skipped.map(({ image, reason }) => `left out: ${image}: ${reason}`);
  });

  it("are read by eval, which says what it leaves out", { timeout }, async () => {
    const { out, err } = await call(["eval", "zeroshot", "--data", path, "--json"]);
    for (const line of said) expect(err).toContain(line);
    expect(JSON.parse(out)).toMatchObject({ skipped, models: [{ count: 4 }] });
  });

  it("are read alike by probe", { timeout }, async () => {
    const { out, err } = await call(["probe", "--train", path, "--test", path, "--lambda", "1", "--json"]);
    for (const line of said) expect(err).toContain(line);
    const document = { classes: ["cat", "dog"], pictures: { train: 4, test: 4 }, skipped: [...skipped, ...skipped] };
    expect(JSON.parse(out)).toMatchObject(document);
  });

  it("are read alike by data", { timeout }, async () => {
    const { out } = await call(["data", "check", path, "--class-template", "a {}", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ pairs: 4, skipped: skipped.slice(0, 1) });
  });

  it("are read alike by embed", { timeout }, async () => {
    const { out } = await call(["embed", path, "--out", join(root, "alike-vectors"), "--json"]);
    expect(JSON.parse(out)).toMatchObject({ shards: [{ vectors: 4, skipped: [{ id: "emu/raw.heic" }] }] });
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
    expect(linked.out).toMatch(/1 pairs/);
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
    expect(err).toBe(`left out: ${join(set, "a.jpg")}: its content is that of no known image format`);
    const listed = execFileSync("tar", ["-tf", join(root, "mixed-shards/000000.tar")], { encoding: "utf8" });
    expect(listed.match(/\.\w+$/gm)!.sort()).toEqual([".jpg", ".png", ".txt", ".txt"]);
  });
});

describe("tables", () => {
  it("with absolute paths are read where --images names their folder", { timeout }, async () => {
    const pictures = await folder("elsewhere", { "a.png": png });
    const set = await folder("absolute", { "t.csv": `image\n${join(pictures, "a.png")}\n` });
    const refused = await call(["embed", join(set, "t.csv"), "--out", join(root, "v0")]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("name a folder that holds all its pictures by images (--images)");
    const read = await call(["embed", join(set, "t.csv"), "--images", pictures, "--out", join(root, "v1"), "--json"]);
    expect(JSON.parse(read.out)).toMatchObject({ shards: [{ vectors: 1 }] });
  });
});

describe.skipIf(sharedMissing)(`inputs that people had trouble with${sharedMissing}`, () => {
  const cases = join(sharedFolder, "cases");

  it("a shard whose keys have dots gives each picture its own caption", async () => {
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
