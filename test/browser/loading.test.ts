import { readdirSync, statSync } from "node:fs";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { convertModel, loadClip, readModel } from "../../src/index.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { browserMissing, bundle, loadPage, openPage } from "./page.ts";

const model = "./repository/assets/pictogram-clip/";
const image = "repository/assets/samples/rocket.png";
const labels = ["rocket", "pizza", "house"];
const here = (path: string) => fileURLToPath(new URL(`../../${path.replace("repository/", "")}`, import.meta.url));
const weights = "/repository/assets/pictogram-clip/model.safetensors";

/** A folder as transformers writes it. */
const made = await temporaryFolder();
const tiny = await readModel(await saveTinyModel(join(made, "own")));
await convertModel(tiny, join(made, "hf"), { to: "hf" });
// As others leave them: without the image processor's settings, by transformers 5, and with open_clip's config alone.
for (const name of ["bare", "hf5"]) await cp(join(made, "hf"), join(made, name), { recursive: true });
await rm(join(made, "bare/preprocessor_config.json"));
const settings = JSON.parse(await readFile(join(made, "hf5/preprocessor_config.json"), "utf8")) as object;
await writeFile(join(made, "hf5/processor_config.json"), JSON.stringify({ image_processor: settings }));
await rm(join(made, "hf5/preprocessor_config.json"));
const config = JSON.parse(await readFile(join(made, "hf5/config.json"), "utf8")) as object;
await writeFile(join(made, "hf5/config.json"), JSON.stringify({ ...config, transformers_version: "5.2.0" }));
await convertModel(tiny, join(made, "openClip"), { to: "open_clip" });

/** The labels of the image, in the page. */
function classifyInPage(page: Page) {
  return page.evaluate(
    async ({ model, image, labels }) => {
      const { loadClip } = globalThis.clip;
      const received: number[] = [];
      const clip = await loadClip(model, {
        device: "cpu",
        onProgress: (progress) => received.push(progress.received / progress.total!),
      });
      const ranked = await clip.classify(image, labels);
      await clip.release();
      return { ranked, received };
    },
    { model, image, labels },
  );
}

/** How many embeddings the page gets of one text. */
function embedInPage(page: Page, model: string, files?: readonly string[]) {
  return page.evaluate(
    async ({ model, files }) => {
      const clip = await globalThis.clip.loadClip(model, { device: "cpu", files });
      const embeds = await globalThis.clip.collect(clip.encodeTexts(["a rocket"]));
      await clip.release();
      return embeds.length;
    },
    { model, files },
  );
}

async function classifyHere() {
  await using clip = await loadClip("pictograms");
  return await clip.classify(here(image), labels);
}

/** The same labels in the same order, probabilities within what float32 leaves. */
async function expectSame(ranked: Awaited<ReturnType<typeof classifyHere>>) {
  const wanted = await classifyHere();
  expect(ranked.map(({ label }) => label)).toEqual(wanted.map(({ label }) => label));
  ranked.forEach(({ similarity }, i) => expect(similarity).toBeCloseTo(wanted[i]!.similarity, 5));
}

describe.skipIf(browserMissing)(`a page${browserMissing}`, () => {
  it("classifies as Node does, and says how much has arrived", async () => {
    await using opened = await openPage();
    const { ranked, received } = await classifyInPage(opened.page);
    await expectSame(ranked);
    expect(received.filter((share) => share === 1)).toHaveLength(2); // a tower each
    expect(Math.min(...received)).toBeGreaterThan(0);
  });

  it("fetches the weights of the tower that it uses, by ranges, and keeps them for the next visit", async () => {
    await using opened = await openPage();
    const { page, server } = opened;
    const embed = () => embedInPage(page, model);
    expect(await embed()).toBe(1);
    const ofWeights = () => server.sent.filter(({ path }) => path === weights);
    const bytes = ofWeights().reduce((sum, sent) => sum + sent.bytes, 0);
    expect(ofWeights().every(({ range }) => range !== undefined)).toBe(true);
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(statSync(here("assets/pictogram-clip/model.safetensors")).size / 4);

    server.sent.length = 0;
    await loadPage(page, server);
    expect(await embed()).toBe(1);
    expect(ofWeights()).toEqual([]);

    await page.evaluate(() => globalThis.clip.clearCache());
    expect(await embed()).toBe(1);
    expect(ofWeights().length).toBeGreaterThan(0);
  });

  it("goes on with what it has kept while the server of the model cannot be reached", async () => {
    await using opened = await openPage();
    await using models = await openPage(); // only its server
    const { page } = opened;
    // A page may read other sites only if they allow it; through the context's routes this one does.
    const address = `${models.server.url}${model.slice(2)}`;
    await page.route(`${address}**`, async (route) => {
      const answer = await route.fetch();
      const allowed = { "access-control-allow-origin": "*", "access-control-expose-headers": "etag" };
      await route.fulfill({ response: answer, headers: { ...answer.headers(), ...allowed } });
    });
    const embed = () => embedInPage(page, address);
    expect(await embed()).toBe(1);
    await page.unroute(`${address}**`);
    await page.route(`${address}**`, (route) => route.abort());
    await loadPage(page, opened.server);
    expect(await embed()).toBe(1);
  });

  it.each([
    ["breaks off in the middle of answers", { breakAfter: 100_000 }],
    ["knows no ranges", { ignoreRange: true }],
    ["does not say how long its files are", { noLength: true }],
    ["does not answer HEAD", { refuseHead: true }],
    ["answers with a page for what it does not have", { pageForAll: true }],
  ])("copes with a server that %s", async (_, options) => {
    await using opened = await openPage(options);
    const { ranked } = await classifyInPage(opened.page);
    await expectSame(ranked);
  });

  it.each([
    ["repository/assets/pictogram-clip", undefined],
    ["made/own", undefined],
    ["made/hf", undefined],
    ["made/hf5", undefined],
    ["made/bare", readdirSync(join(made, "bare"))],
    ["made/openClip", readdirSync(join(made, "openClip"))],
  ])("asks for nothing that is not in the folder: %s", async (folder, files) => {
    await using opened = await openPage({ made });
    expect(await embedInPage(opened.page, `./${folder}/`, files)).toBe(1);
    expect(opened.complaints).toEqual([]);
  });

  it("asks the hub what is in a repository, and for nothing else", async () => {
    await using opened = await openPage();
    const { page, server } = opened;
    const asked: string[] = [];
    const names = ["config.json", "merges.txt", "model.safetensors", "words.txt", "README.md"];
    const headers = { "access-control-allow-origin": "*", "access-control-expose-headers": "*" };
    await page.route("https://huggingface.co/**", async (route) => {
      const { pathname } = new URL(route.request().url());
      asked.push(pathname);
      if (pathname === "/api/models/some/model/tree/main")
        return route.fulfill({ json: names.map((path) => ({ type: "file", path })), headers });
      const file = pathname.replace("/some/model/resolve/main/", "");
      const answer = await route.fetch({ url: `${server.url}repository/assets/pictogram-clip/${file}` });
      return route.fulfill({ response: answer, headers: { ...answer.headers(), ...headers } });
    });
    expect(await embedInPage(page, "some/model")).toBe(1);
    const inFolder = asked.flatMap((path) => /^\/some\/model\/resolve\/main\/(.*)$/.exec(path)?.[1] ?? []);
    expect([...new Set(inFolder)].sort()).toEqual(["config.json", "merges.txt", "model.safetensors", "words.txt"]);
  });

  it("refuses parts of two versions of a file, and is well again when asked anew", async () => {
    let version = 1;
    await using opened = await openPage({ version: () => String(version) });
    const load = () =>
      opened.page.evaluate(async (model) => {
        const clip = await globalThis.clip.loadClip(model, { device: "cpu" });
        Object.assign(globalThis, { kept: clip });
      }, model);
    const embed = () =>
      opened.page.evaluate(async () => {
        const { kept } = globalThis as unknown as { kept: Awaited<ReturnType<typeof globalThis.clip.loadClip>> };
        return globalThis.clip.collect(kept.encodeTexts(["a rocket"])).then(
          (embeds) => String(embeds.length),
          (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
        );
      });
    await load();
    version = 2;
    expect(await embed()).toMatch(/^CLIP_FILE: .*model\.safetensors changed while it was being read/);
    expect(await embed()).toBe("1");
  });

  it("says what is wrong and the way out", async () => {
    await using opened = await openPage();
    const messages = await opened.page.evaluate(async () => {
      const { loadClip } = globalThis.clip;
      const attempts = {
        missing: () => loadClip("./nowhere/"),
        unnamed: () => loadClip(),
        pictograms: () => loadClip("pictograms"),
        bare: () => loadClip("./repository/fixtures/towers/vit/model.safetensors"),
        damaged: () => loadClip("./repository/fixtures/towers/vit/config.json"),
        device: async () =>
          (await loadClip("./repository/assets/pictogram-clip/", { device: "webgpu" })).classify(new Uint8Array(0), [
            "a",
          ]),
      };
      const met: Record<string, string> = {};
      for (const [name, attempt] of Object.entries(attempts)) {
        const error = await attempt().then(
          () => ({ code: "none", message: "it worked" }),
          (error: { code?: string; message: string }) => error,
        );
        met[name] = `${error.code}: ${error.message}`;
      }
      return met;
    });
    expect(messages["missing"]).toMatch(/^CLIP_FILE: http.*nowhere\/ has no weights/);
    expect(messages["unnamed"]).toMatch(
      /^CLIP_USAGE: no model given; in a page, name one: .*"pictograms", which knows drawings/,
    );
    expect(messages["pictograms"]).toMatch(/^CLIP_FILE: .*pictogram-clip\/ has no weights/);
    expect(messages["bare"]).toMatch(/^CLIP_CONFIG: .*--activation/);
    expect(messages["damaged"]).toMatch(/^CLIP_/);
    expect(messages["device"]).toMatch(/^CLIP_RUNTIME: /);
  });

  it("goes on with the processor where the graphics processor that it met cannot compute", async () => {
    await using opened = await openPage();
    const { ranked, asked } = await opened.page.evaluate(
      async ({ model, image, labels }) => {
        let asked = 0;
        const gpu = { requestAdapter: () => Promise.resolve(++asked && {}) };
        Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
        const clip = await globalThis.clip.loadClip(model);
        const ranked = await clip.classify(image, labels);
        await clip.release();
        return { ranked, asked };
      },
      { model, image, labels },
    );
    expect(asked).toBe(1); // for both towers
    await expectSame(ranked);
  });

  it("stops fetching when it is told to", async () => {
    await using opened = await openPage();
    const problem = await opened.page.evaluate(async (model) => {
      const stop = new AbortController();
      const onProgress = () => stop.abort(new Error("the visitor left"));
      const clip = await globalThis.clip.loadClip(model, { device: "cpu", onProgress, signal: stop.signal });
      return globalThis.clip.collect(clip.encodeTexts(["a rocket"])).then(
        () => "nothing stopped it",
        (error: unknown) => (error as Error).message,
      );
    }, model);
    expect(problem).toMatch(/the visitor left/);
  });

  it("holds no module of Node's", async () => {
    const { output } = await bundle().output;
    const modules = output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
    expect(modules.length).toBeGreaterThan(100);
    expect(modules.filter((id) => /node:|browser-external|onnxruntime-node|\/sharp\/|\/undici\//.test(id))).toEqual([]);
  });
});
