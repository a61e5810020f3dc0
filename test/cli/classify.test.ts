import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { captionWords } from "../../src/model/pretrained/caption-words.ts";
import { collect } from "../../src/model/embedding/encoder.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { loadClip } from "../../src/model/zero-shot/clip.ts";
import { ZeroShotClassifier } from "../../src/model/zero-shot/classifier.ts";
import { demonstrate } from "../../src/interfaces/cli/commands/demo.ts";
import { drawBars, drawHeatMap } from "../../src/interfaces/cli/terminal.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyCaptions } from "../tiny-model.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"), { words: captionWords(tinyCaptions) });
const [first, second] = [
  await writeRandomImage(join(root, "first.png"), 1),
  await writeRandomImage(join(root, "second.png"), 2),
];
const labels = ["red apple", "green tree", "blue sea"];
const classify = (...args: string[]) => call(["classify", "--model", model, "--labels", labels.join(","), ...args]);

interface Document {
  readonly results: readonly {
    readonly image: string;
    readonly labels: readonly { readonly label: string; readonly probability: number; readonly similarity: number }[];
  }[];
}

describe("clip-ts classify --json", () => {
  it("prints one document: images in the order given, labels best first", async () => {
    const { code, out, err } = await classify(first, second, "--json");
    expect([code, err]).toEqual([0, ""]);
    const { results } = JSON.parse(out) as Document;
    await using clip = await loadClip(model, { prepack: false });
    // In one batch, as the command does it: the last digits depend on its size.
    const embeds = await collect(clip.encodeImages([first, second]));
    const classifier = await ZeroShotClassifier.create(clip, labels);
    expect(results).toEqual([
      { image: first, labels: classifier.rank(embeds[0]!) },
      { image: second, labels: classifier.rank(embeds[1]!) },
    ]);
    expect(Object.keys(results[0]!.labels[0]!)).toEqual(["label", "probability", "similarity"]);
  });

  it("takes labels from a file, templates, and how many to show", async () => {
    const file = join(root, "labels.txt");
    await writeFile(file, `\ufeff${labels.join("\r\n")}\r\n\r\n`);
    const templates = ["a {}", "the {}"];
    const args = ["--labels-file", file, "--template", templates[0]!, "--template", templates[1]!, "--top-k", "2"];
    const { out } = await call(["classify", first, "--model", model, ...args, "--json"]);
    await using clip = await loadClip(model, { prepack: false });
    expect((JSON.parse(out) as Document).results[0]!.labels).toEqual(
      await clip.classify(first, labels, { templates, topK: 2 }),
    );
  });

  it.each([
    ["Rocket,rocket", 'the labels "Rocket" and "rocket" are equivalent and would share the probability; remove one'],
    ["ice_cream,Ice cream ", 'the labels "ice_cream" and "Ice cream" are equivalent'],
    ["sun,sun", 'the label "sun" is given twice; remove one'],
  ])("refuses the labels %j, which would share the probability silently", async (alike, message) => {
    const { code, out, err } = await call(["classify", first, "--model", model, "--labels", alike]);
    expect([code, out, err]).toEqual([2, "", expect.stringContaining(message) as string]);
  });

  it.each([
    ["q8", 0.999],
    ["q4", 0.9],
  ])("with --dtype %s says how close it stays to the weights as they are", async (dtype, wanted) => {
    const { code, out, err } = await classify(first, second, "--json", "--dtype", dtype);
    expect(code).toBe(0);
    const { results } = JSON.parse(out) as Document;
    const exact = JSON.parse((await classify(first, second, "--json")).out) as Document;
    expect(results).not.toEqual(exact.results);
    const cosines = [...err.matchAll(/embeddings of (\d) (images|texts): cosine (\S+) on average, at least (\S+)/g)];
    expect(cosines.map(([, count, what]) => `${count} ${what}`)).toEqual(["2 images", "3 texts"]);
    for (const [, , , mean, least] of cosines) {
      expect(Number(least)).toBeGreaterThan(wanted);
      expect(Number(mean)).toBeGreaterThanOrEqual(Number(least));
    }
  });

  it.each([
    ["--none", "none"],
    ["--multi-label", "multiLabel"],
  ] as const)("passes %s on", async (flag, option) => {
    const { out } = await classify(first, flag, "--json");
    await using clip = await loadClip(model, { prepack: false });
    const wanted = await clip.classify(first, labels, { [option]: true });
    expect((JSON.parse(out) as Document).results[0]!.labels).toEqual(wanted);
  });

  it("prints what could be read when one image of several could not, and fails", async () => {
    const { code, out, err } = await classify(first, join(root, "nowhere.png"), second, "--json");
    expect(code).toBe(1);
    expect((JSON.parse(out) as Document).results.map(({ image }) => image)).toEqual([first, second]);
    expect(err.split("\n")).toEqual([
      `skipped: ${join(root, "nowhere.png")} does not exist; check the path`,
      "clip-ts classify: 1 of 3 named images could not be read",
    ]);
  });
});

describe("clip-ts classify of a folder", () => {
  const folder = join(root, "some-broken");
  beforeAll(async () => {
    await mkdir(folder);
    await copyFile(first, join(folder, "a.png"));
    await writeFile(join(folder, "b.png"), "no image");
    await writeFile(join(folder, "c.txt"), "notes");
  });

  it("reports what it leaves out, and succeeds", async () => {
    const { code, out, err } = await classify(folder, "--json");
    expect((JSON.parse(out) as Document).results.map(({ image }) => image)).toEqual([join(folder, "a.png")]);
    expect(err).toMatch(/^skipped: .*b\.png is text, not an image$/m);
    expect(err).not.toContain("could not be read");
    expect(code).toBe(0);
  });

  it("fails if an image that is named beside it cannot be read", async () => {
    const { code, err } = await classify(folder, join(root, "nowhere.png"), "--json");
    expect(err).toMatch(/clip-ts classify: 1 of 1 named image could not be read$/);
    expect(code).toBe(1);
  });

  it("fails if none in it can be read", async () => {
    const bad = join(root, "all-broken");
    await mkdir(bad);
    for (const name of ["a.png", "b.png"]) await writeFile(join(bad, name), "no image");
    const { code, err } = await classify(bad, "--json");
    expect(err).toMatch(/none of 2 images can be read$/);
    expect(code).toBe(1);
  });
});

describe("clip-ts classify with a label that is too long", () => {
  const long = `the blue sea ${"and the sun ".repeat(20)}`.trim();
  const cut = (...args: string[]) =>
    call(["classify", first, "--model", model, "--labels", `red apple,${long}`, "--template", "{}", ...args]);

  it("says by how many tokens, and how to have it cut", async () => {
    const { code, err } = await cut();
    expect(code).toBe(1);
    expect(err).toMatch(/the label "[^"]*…" in the template ".*" is \d+ tokens too long.*--truncate/);
  });

  it("cuts it when asked to, and says what was cut", async () => {
    const { code, out, err } = await cut("--truncate", "--json");
    expect(code).toBe(0);
    expect(err).toMatch(/^cut ".*sun.*" off "the blue sea/m);
    expect(out).toContain(long);
  });
});

describe("clip-ts classify in a terminal", () => {
  it("prints the labels of one image as bars as long as their probabilities, best first", async () => {
    const { code, out } = await classify(first, "--top-k", "2");
    expect(code).toBe(0);
    await using clip = await loadClip(model, { prepack: false });
    const ranked = await clip.classify(first, labels, { topK: 2 });
    const lines = out.split("\n");
    expect(lines[0]).toBe(first);
    expect(lines).toHaveLength(3);
    ranked.forEach(({ label, probability }, i) => {
      const line = lines[i + 1]!;
      expect(line).toContain(label);
      expect(line.endsWith(`${(100 * probability).toFixed(1)} %`)).toBe(true);
      const full = line.match(/█/g)?.length ?? 0;
      expect(Math.abs(full - probability * 58)).toBeLessThan(1.1);
      expect(line.length).toBe(lines[1]!.length);
    });
  });

  it("prints several images as a heat map of similarities, and the best of each", async () => {
    const { out } = await classify(first, second);
    await using clip = await loadClip(model, { prepack: false });
    for (const imageFile of [first, second]) {
      const ranked = await clip.classify(imageFile, labels);
      const line = out
        .split("\n")
        .find((text) => text.includes(basename(imageFile)))!
        .replace(basename(imageFile), "");
      const similarities = line.trim().split(/ +/).slice(-3);
      expect(similarities.sort()).toEqual(ranked.map(({ similarity }) => similarity.toFixed(2)).sort());
      expect(out).toMatch(new RegExp(`${ranked[0]!.label}  ${(100 * ranked[0]!.probability).toFixed(1)} %`));
    }
  });

  it("has its columns in the order of the labels, names without their common folder, and bars apart from figures", async () => {
    const { out } = await classify(first, second);
    const named = out.split("\n").flatMap((line) => /^ {5}\d {2}(.*)$/.exec(line)?.[1] ?? []);
    expect(named).toEqual(labels);
    expect(out).not.toContain(root);
    const bars = drawBars([{ label: "certain", probability: 1, similarity: 1 }], { columns: 80, colour: false });
    expect(bars[0]).toMatch(/█ 100\.0 %$/);
  });

  it("tells apart long names that differ at their ends", () => {
    const long = "a screenshot of the whole desktop in the afternoon";
    const rows = ["1.png", "2.png"].map((end) => {
      return { name: `${long} ${end}`, similarities: [0.1], best: { label: "a", probability: 1, similarity: 0.1 } };
    });
    const lines = drawHeatMap(rows, ["a"], { columns: 80, colour: false });
    expect(lines[1]).toContain("1.png");
    expect(lines[2]).toContain("2.png");
  });

  it.each([40, 60, 80, 120])("keeps long names, bars and figures within %i columns", (columns) => {
    const label = "the roof of a house in a small town by the sea";
    const best = { label, probability: 1, similarity: 0.1 };
    const rows = ["1.png", "2.png"].map((end) => ({ name: `${label} ${end}`, similarities: [-0.1, 0.2, 0.3], best }));
    const table = drawHeatMap(rows, ["a", "b", "c"], { columns, colour: false });
    const lines = [...drawBars([best], { columns, colour: false }), ...table.slice(0, 3)];
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines[0]).toMatch(/█ 100\.0 %$/);
    expect(table[1]).toMatch(/1\.png +-0\.10 +0\.20 +0\.30$/);
  });

  it("has colours only where they are shown", async () => {
    const args = ["classify", first, second, "--model", model, "--labels", "red apple,blue sea"];
    expect((await call(args, { colour: true })).out).toContain("\u001b[48;5;");
    expect((await call(args)).out).not.toContain("\u001b");
  });

  it("says of each label which of its words the model never saw, in one line", async () => {
    const { code, err } = await call(["classify", first, "--model", model, "--labels", "red apple,red zebra,blue yak"]);
    expect(code).toBe(0);
    expect(err.split("\n")).toEqual([
      'label "red zebra": the model was not trained on "zebra"; its score may mean little',
      'label "blue yak": the model was not trained on "yak"; its score may mean little',
    ]);
  });

  it("lets no file name steer the terminal", async () => {
    const path = await writeRandomImage(join(root, "a\u001b[31m.png"), 3);
    expect((await classify(path)).out).not.toContain("\u001b");
  });
});

describe("what clip-ts classify takes for images", () => {
  const classified = async (args: readonly string[], input?: Uint8Array) => {
    const options = ["--model", model, "--labels", labels.join(","), "--json"];
    const { code, out, err } = await call(["classify", ...args, ...options], input ? { input } : {});
    return { code, err, results: code === 2 ? [] : (JSON.parse(out) as Document).results };
  };
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder, "more"));
    await writeRandomImage(join(folder, "b.png"), 1);
    await writeRandomImage(join(folder, "more/a.png"), 2);
    await writeFile(join(folder, "notes.txt"), "no image");
  });

  it("is a folder with all images in it and its folders", async () => {
    const { code, results } = await classified([folder]);
    expect(code).toBe(0);
    expect(results.map(({ image }) => image)).toEqual([join(folder, "b.png"), join(folder, "more/a.png")]);
  });

  it("is a pattern that no shell has expanded", async () => {
    const { results } = await classified([join(folder, "*.png")]);
    expect(results.map(({ image }) => image)).toEqual([join(folder, "b.png")]);
    const missing = await call(["classify", join(folder, "*.tif"), "--model", model, "--labels", "a"]);
    expect(missing).toMatchObject({ code: 1, err: `clip-ts classify: no file matches ${join(folder, "*.tif")}` });
  });

  it("is the standard input, once", async () => {
    const bytes = await readFile(join(folder, "b.png"));
    const { results } = await classified(["-"], bytes);
    const [wanted] = (await classified([join(folder, "b.png")])).results;
    expect(results).toEqual([{ ...wanted, image: "-" }]);
    const twice = await call(["classify", "-", "--model", model, "--labels-file", "-"], { input: "a\nb\n" });
    expect(twice).toMatchObject({ code: 2 });
    expect(twice.err).toContain("only one argument can be -");
    const damaged = await call(["classify", "-", "--model", model, "--labels", "a"], { input: "no image" });
    expect(damaged.err).toContain("clip-ts classify: the standard input is text, not an image");
  });

  it("is no folder without images", async () => {
    const empty = await temporaryFolder();
    const { code, err } = await call(["classify", empty, "--model", model, "--labels", "a"]);
    expect([code, err]).toEqual([1, `clip-ts classify: the folder ${empty} holds no images`]);
  });
});

describe("clip-ts classify --html", () => {
  it("writes one page with the images in it", async () => {
    const page = join(root, "page.html");
    const { code, err } = await classify(first, second, "--html", page);
    expect([code, err]).toEqual([0, `wrote ${page}`]);
    const html = await readFile(page, "utf8");
    for (const label of labels) expect(html).toContain(label);
    expect(html.match(/data:image\/png;base64,/g)!.length).toBeGreaterThanOrEqual(2);
  });

  it("leaves nothing behind when the page cannot be written", async () => {
    const page = join(root, "no-folder", "page.html");
    const { code, err } = await classify(first, "--html", page);
    expect(code).toBe(1);
    expect(err).toContain(`clip-ts classify: cannot write ${page}`);
  });
});

describe("the demonstration", () => {
  it("names the images of a folder by the labels in it, on the terminal and in a page", async () => {
    const folder = await temporaryFolder();
    await writeRandomImage(join(folder, "image.png"), 4);
    await writeFile(join(folder, "labels.txt"), `${labels.join("\n")}\n`);
    const page = join(root, "demo.html");
    const out: string[] = [];
    await demonstrate(
      await readModel(model),
      folder,
      { html: page },
      {
        out: (text) => void out.push(text),
        err: () => {},
        progress: () => {},
        readInput: () => Promise.resolve(""),
        readInputBytes: () => Promise.resolve(new Uint8Array()),
        columns: 80,
        colour: false,
        debug: false,
        signal: new AbortController().signal,
      },
    );
    expect(out.join("\n")).toContain("image.png");
    expect(out.join("\n").match(/█/g)!.length).toBeGreaterThan(10);
    expect(await readFile(page, "utf8")).toContain("red apple");
  });
});
