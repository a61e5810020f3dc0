import { copyFile, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "model"));
const image = await writeRandomImage(join(root, "image.png"), 1);

/** A file in the temporary folder. */
async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(root, name);
  await writeFile(path, content);
  return path;
}

/** The model with another config. */
async function modelWith(name: string, change: Record<string, unknown>): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  await copyFile(join(model, "model.safetensors"), join(folder, "model.safetensors"));
  const config = JSON.parse(await readFile(join(model, "config.json"), "utf8")) as object;
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, ...change }));
  return folder;
}

const classify = (...args: string[]) => call(["classify", "--model", model, "--labels", "a cat,a dog", ...args]);

/** One message, without a stack, and nothing among the results. */
function expectError(called: Awaited<ReturnType<typeof call>>, code: 1 | 2, message: string | RegExp): void {
  expect(called).toMatchObject({ code, out: "" });
  expect(called.err).toMatch(message);
  expect(called.err).not.toMatch(/\n +at /);
}

describe("an image", () => {
  it("that is missing is named", async () => {
    const path = join(root, "nowhere.jpg");
    expectError(await classify(path), 1, `clip-ts classify: ${path} does not exist; check the path`);
  });

  it("that is a folder without images, empty, or none at all is refused", async () => {
    const folder = await mkdtemp(join(root, "no-images-"));
    expectError(await classify(folder), 1, `the folder ${folder} holds no images`);
    expectError(await classify(await file("empty.png", "")), 1, /empty\.png is empty \(0 bytes\)/);
    const text = await file("notes.txt", "this is no image");
    expectError(await classify(text), 1, /notes\.txt is text, not an image/);
  });

  it("that was cut short is refused", async () => {
    const bytes = await readFile(image);
    const cut = await file("cut.png", bytes.subarray(0, bytes.length / 2));
    expectError(await classify(cut), 1, /cut\.png is damaged or cut short \(.*\); copy or download it again/);
  });

  it("that is too large is refused with the flag that lifts the limit, and the flag lifts it", async () => {
    expectError(
      await classify(image, "--max-image-pixels", "1000"),
      1,
      `${image} has 48 × 40 pixels; at most 1000 pixels are accepted: raise --max-image-pixels (maxImagePixels) or shrink it`,
    );
    expect(await classify(image, "--max-image-pixels", "1920")).toMatchObject({ code: 0, err: "" });
  });
});

describe("labels", () => {
  const named = (...args: string[]) => call(["classify", image, "--model", model, ...args]);

  it("are needed, each with a name of its own", async () => {
    expectError(await named(), 2, 'there are no labels; add --labels "a cat,a dog" or --labels-file FILE');
    expectError(await named("--labels", ""), 2, "label 1 of 1 is empty; remove or fill it");
    expectError(await named("--labels", "a cat,,a dog"), 2, "label 2 of 3 is empty");
    expectError(await named("--labels", "a cat,a cat"), 2, 'the label "a cat" is given twice; remove one');
    expectError(
      await named("--labels-file", await file("no-labels.txt", "\n\n")),
      2,
      /no-labels\.txt is empty; write one entry per line/,
    );
    expectError(
      await named("--labels-file", join(root, "nowhere.txt")),
      1,
      /cannot read .*nowhere\.txt: it does not exist/,
    );
    expectError(await named("--labels", "a", "--labels-file", "b"), 2, /cannot be used with/);
  });

  it("that are too long are an error with the number of tokens too many", async () => {
    expectError(
      await named("--labels", "cat ".repeat(50)),
      1,
      /is \d+ tokens too long: the model reads 24, including start and end of text/,
    );
  });

  it("need a place in a template", async () => {
    for (const command of [
      ["classify", image],
      ["data", "check", root],
      ["data", "pack", root, root],
      ["finetune"],
      ["probe"],
    ]) {
      const option = command[0] === "data" ? "--class-template" : "--template";
      const called = await call([...command, option, "a photo"]);
      expectError(called, 2, `option '${option} <sentence>' argument 'a photo' is invalid. It has no {} for the label`);
    }
  });
});

describe("a model", () => {
  const using = (path: string, ...args: string[]) =>
    call(["classify", image, "--labels", "a cat,a dog", "--model", path, ...args]);

  it("that is missing is described", async () => {
    expectError(
      await using(join(root, "nowhere")),
      1,
      /nowhere does not exist; name a folder, a weight file, or a published model/,
    );
    await mkdir(join(root, "bare"));
    expectError(await using(join(root, "bare")), 1, /bare has no weights: none of model\.safetensors/);
  });

  it("whose weights do not fit comes with all differences", async () => {
    const { err } = await using(await modelWith("other", { embedDim: 8, text: { ...tinyConfig.text, layers: 2 } }));
    expect(err).toContain("does not fit the model; does it have another architecture?");
    expect(err).toContain("vision.projection: the model needs [32, 8], the file has [32, 16]");
    expect(err.match(/missing from the file: text\.blocks\.1\./g)).toHaveLength(12);
  });

  it("whose config has a typo gets the nearest key", async () => {
    const folder = await modelWith("typo", { embeddim: 16 });
    expectError(await using(folder), 1, /embeddim is unknown; did you mean "embedDim"\?/);
  });

  it("whose config is no JSON is named", async () => {
    const folder = await modelWith("broken", {});
    await writeFile(join(folder, "config.json"), "{");
    expectError(await using(folder), 1, /broken.config\.json is not JSON/);
  });

  it("whose file was cut short is not run", async () => {
    const bytes = await readFile(join(model, "model.safetensors"));
    const folder = await modelWith("cut", {});
    await writeFile(join(folder, "model.safetensors"), bytes.subarray(0, bytes.length - 100));
    expectError(
      await using(folder),
      1,
      /is not a valid safetensors file: .*the rest is missing; download or save it again/,
    );
  });

  it("without a config is not guessed the activation of, and the option is named", async () => {
    const bare = join(model, "model.safetensors");
    expectError(await using(bare), 1, /does not record its activation.* --activation/s);
    expectError(await using(model, "--activation", "relu"), 2, /Allowed choices are quickGelu, gelu, geluTanh/);
    const without = await call(["classify", image, "--labels", "a", "--activation", "gelu"]);
    expectError(without, 2, /--config and --activation are for a weight file; name it with --model/);
  });
});

describe("options", () => {
  it("that do not exist come with the nearest that does", async () => {
    expectError(
      await call(["classify", image, "--lables", "a"]),
      2,
      /unknown option '--lables' \(Did you mean --labels\?\)/,
    );
    expectError(await call(["clasify"]), 2, /clip-ts: unknown command 'clasify' \(Did you mean classify\?\)/);
  });

  it("that make no sense are refused", async () => {
    expectError(await classify(image, "--top-k", "0"), 2, /'--top-k <n>' argument '0' is invalid. It must be a whole/);
    expectError(await classify(image, "--top-k", "1.5"), 2, /argument '1.5' is invalid/);
    expectError(await classify(image, "--none", "--multi-label"), 2, /cannot be used with option '--multi-label'/);
    expectError(await call(["classify", "--labels", "a"]), 2, /clip-ts classify: missing required argument 'image'/);
    expectError(await call(["preprocess", image, "x", "--image-size", "100000"]), 2, /whole number from 1 to 8192/);
    expectError(await call(["preprocess", image, "x", "--orientation", "up"]), 2, /Allowed choices are apply, ignore/);
    expectError(await call(["forward", "x"]), 2, /missing required argument 'out'/);
  });
});

describe("an unforeseen error", () => {
  it("is reported as such, with its stack only where that is asked for", async () => {
    const broken = { readInput: () => Promise.reject(new Error("the moon fell down")) };
    const quiet = await call(["tokenize"], broken);
    expectError(quiet, 1, /^clip-ts tokenize: the moon fell down\nThis error is unexpected; please report it/);
    expect((await call(["tokenize"], { ...broken, debug: true })).err).toMatch(/\n +at /);
  });
});

describe("stopping", () => {
  it("is no error, and leaves exit code 130", async () => {
    const stop = new AbortController();
    stop.abort();
    const { code, err } = await call(["classify", image, "--model", model, "--labels", "a"], { signal: stop.signal });
    expect([code, err]).toEqual([130, ""]);
  });
});
