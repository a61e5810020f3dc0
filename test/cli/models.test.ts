import { chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { float32, int32, type TensorData } from "../../src/core/tensor-data.ts";
import { openSafetensors } from "../../src/model/checkpoints/safetensors.ts";
import { readFloats } from "../../src/model/checkpoints/stored-tensor.ts";
import { writeSafetensors } from "../../src/model/checkpoints/write-safetensors.ts";
import type { ModelReport } from "../../src/model/pretrained/inspect.ts";
import { relativeError } from "../../src/learning/parity/compare.ts";
import { defaultModel, type KnownModel } from "../../src/model/hub/known-models.ts";
import { pictogramModel } from "../../src/model/hub/pictograms.ts";
import { serveHub } from "../hub-server.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../tiny-model.ts";
import { unprivileged } from "../unprivileged.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const model = await saveTinyModel(join(root, "tiny"));
afterEach(() => vi.unstubAllEnvs());

describe("models list", () => {
  it("lists what is published", async () => {
    vi.stubEnv("HF_HUB_CACHE", join(root, "nothing"));
    vi.stubEnv("HOME", root);
    const { out } = await call(["models", "list"]);
    expect(out).toMatch(/^ViT-B\/32 +ViT-B-32-quickgelu +151 M +63\.3 % +MIT$/m);
    expect(out).toMatch(
      /^laion\/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K +ViT-B-32-256 +151 M +72\.8 % +MIT +default$/m,
    );
    expect(out).toMatch(/^pictograms .* in this package; knows drawings, not photos$/m);
    const models = (JSON.parse((await call(["models", "list", "--json"])).out) as { results: KnownModel[] }).results;
    expect(models).toHaveLength(45);
    const b32 = models.find(({ name }) => name === "ViT-B/32")!;
    expect(b32).toMatchObject({
      repository: "timm/vit_base_patch32_clip_224.openai",
      imageNet: 0.6332,
      // From openai/CLIP's clip.py.
      archive: { file: "ViT-B-32.pt", sha256: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af" },
    });
  });
});

describe("models fetch", () => {
  const variables = ["HF_TOKEN", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"];

  it("fetches the default, says how much comes and where it will lie, and prints its place", async () => {
    const files = Object.fromEntries(
      await Promise.all(
        ["config.json", "merges.txt", "model.safetensors"].map(
          async (name) => [name, await readFile(join(model, name))] as const,
        ),
      ),
    );
    const bytes = Object.values(files).reduce((sum, file) => sum + file.length, 0);
    const hub = await serveHub(defaultModel, files);
    vi.stubEnv("HF_ENDPOINT", hub.url);
    vi.stubEnv("HF_HUB_CACHE", join(root, "hub"));
    for (const name of variables) vi.stubEnv(name, undefined);
    const { code, out, err } = await call(["models", "fetch"]);
    const folder = join(root, "hub", `models--${defaultModel.replace("/", "--")}`);
    expect(code).toBe(0);
    expect(err).toBe(`fetching ${defaultModel}: ${(bytes / 1e6).toFixed(1)} MB into ${folder}`);
    expect(await readFile(join(out, "model.safetensors"))).toEqual(files["model.safetensors"]);
    expect((await call(["models", "list"])).out).toMatch(/^laion\/.*256x256.* default, cached$/m);
    await hub.close();
    // What needs the default finds it, and says that the hub does not answer.
    const again = await call(["models", "fetch"]);
    expect([again.out, again.err]).toEqual([out, expect.stringMatching(/^http.* cannot be asked /)]);
  });

  it("prints the place of what comes with the package, with what it knows", async () => {
    expect(await call(["models", "fetch", "pictograms"])).toEqual({
      code: 0,
      out: pictogramModel,
      err: `pictograms, the bundled model, knows drawings, not photos; ${defaultModel} knows photos`,
    });
  });
});

describe("models inspect", () => {
  it("says what a model is, for people and as JSON", async () => {
    const { code, out } = await call(["models", "inspect", model]);
    expect(code).toBe(0);
    expect(out).toMatch(/^weights {7}.*tiny\/model\.safetensors: safetensors, our names$/m);
    expect(out).toMatch(/^images {8}ViT, 1 block of width 32, 2 heads, patches of 16$/m);
    expect(out).toMatch(/^features {6}16, quickGelu$/m);
    const json = await call(["models", "inspect", model, "--json"]);
    expect((JSON.parse(json.out) as { results: ModelReport }).results.config).toEqual(tinyConfig);
  });

  it("takes another size of images into account", async () => {
    const { out } = await call(["models", "inspect", model, "--image-size", "64"]);
    expect(out).toMatch(/shorter side resized and center cropped to 64 pixels/);
    const refused = await call(["models", "inspect", model, "--image-size", "65"]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/a multiple of its patch size, 16 pixels/)]);
  });

  it("says what is missing of a folder, in words", async () => {
    const empty = join(root, "empty");
    await mkdir(empty);
    const without = await call(["models", "inspect", empty]);
    expect([without.code, without.err]).toEqual([
      1,
      expect.stringMatching(/empty has no weights: none of model\.safetensors, /),
    ]);
    await copyFile(join(model, "model.safetensors"), join(empty, "model.safetensors"));
    const bare = await call(["models", "inspect", empty]);
    expect([bare.code, bare.err]).toEqual([
      1,
      expect.stringMatching(/does not record its activation.* name it by --activation/),
    ]);
    const config = await call(["models", "inspect", model, "--config", join(root, "nowhere.json")]);
    expect(config.err).toMatch(/cannot read .*nowhere\.json: it does not exist$/);
    await writeFile(join(empty, "notes.txt"), "these are notes and no weights");
    const { err } = await call(["models", "inspect", join(empty, "notes.txt")]);
    expect(err).toMatch(/notes\.txt is text, not weights: "these are notes and no weights"; download it again/);
  });

  it("is misused with the exit code of every command", async () => {
    for (const args of [
      ["models", "inspect"],
      ["models", "list", "too", "much"],
      ["models", "cache", "clear", "--none"],
    ])
      expect(await call(args)).toMatchObject({ code: 2, out: "" });
  });

  it("names itself in errors", async () => {
    const { code, err } = await call(["models", "inspect", join(root, "nowhere")]);
    expect(code).toBe(1);
    expect(err).toMatch(/^clip-ts models inspect: the model .*nowhere does not exist/);
  });
});

describe("convert", () => {
  it("writes a model that gives the same numbers", async () => {
    const inputs = join(root, "in.safetensors");
    const pixels = Float32Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) => Math.sin(i));
    await writeSafetensors(
      inputs,
      new Map<string, TensorData>([
        ["pixelValues", float32(pixels, [2, 3, 32, 32])],
        ["inputIds", int32([1, 2, 3, 4, 5, 6], [2, 3])],
      ]),
    );
    const logits = async (folder: string) => {
      const out = `${folder}.safetensors`;
      expect((await call(["forward", inputs, out, "--model", folder])).code).toBe(0);
      return (await readFloats((await openSafetensors(out)).tensors.get("logitsPerImage")!)).data;
    };
    const wanted = await logits(model);
    for (const to of ["hf", "open_clip"]) {
      const folder = join(root, to);
      const { code, err } = await call(["convert", model, folder, "--to", to]);
      expect([code, err]).toEqual([0, expect.stringMatching(/^wrote .*\.safetensors$/m)]);
      expect(/^warning: (.*)/m.exec(err)?.[1]).toEqual(
        to === "hf" ? undefined : expect.stringMatching(/open_clip reads no vocabulary from the folder/),
      );
      expect(relativeError(await logits(folder), wanted)).toBeLessThan(1e-6);
    }
  });

  it("shows how far it is, and says what a bare file leaves to be guessed", async () => {
    const shown: string[] = [];
    const out = join(root, "bare.safetensors");
    const { code, err } = await call(["convert", model, out, "--to", "openai"], {
      progress: (text) => shown.push(text),
    });
    expect(shown.at(-1)).toMatch(/^bare\.safetensors {2}0\.3 MB of 0\.3 MB$/);
    expect([code, err]).toEqual([0, expect.stringMatching(/^wrote .*bare\.safetensors\nwarning: the shapes alone/)]);
  });

  it("says in words what is wrong with the place to write to", async () => {
    const taken = join(root, "taken.safetensors");
    await mkdir(taken);
    for (const [to, out, message] of [
      [
        "hf",
        join(model, "config.json"),
        /cannot make the folder .*config\.json: a file of that name already exists; choose another/,
      ],
      [
        "hf",
        join(model, "config.json", "in"),
        /cannot make the folder .*: a part of its path is a file; choose another place/,
      ],
      ["openai", taken, /cannot write .*taken\.safetensors: it is a folder; any previous content is kept/],
      ["openai", join(root, "folder"), /OpenAI's names are written to one file; name it \*\.safetensors/],
      ["onnx", model, /is where the model is read from; choose another/],
    ] as const) {
      const { code, err } = await call(["convert", model, out, "--to", to]);
      expect(code).toBeGreaterThan(0);
      expect(err).toMatch(message);
      expect(err).not.toMatch(/E[A-Z]+:|\n/);
    }
    await chmod(root, 0o755);
    const sealed = join(root, "sealed");
    await mkdir(sealed, { mode: 0o555 });
    const { err } = await unprivileged(() => call(["convert", model, join(sealed, "hf"), "--to", "hf"]));
    expect(err).toMatch(/^clip-ts convert: cannot make the folder .*: permission denied; choose another place$/);
  });

  it("asks for the layout", async () => {
    const { code, err } = await call(["convert", model, join(root, "out")]);
    expect([code, err]).toEqual([2, expect.stringMatching(/--to <layout>/)]);
  });
});
