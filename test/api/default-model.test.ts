import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it, vi } from "vitest";
import { type DownloadProgress, defaultModel, type FetchPlan, loadClip } from "../../src/index.ts";
import { call } from "../cli/call.ts";
import { serveHub } from "../hub-server.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";

const root = await temporaryFolder();
const image = await writeRandomImage(join(root, "image.png"), 1);
const model = await saveTinyModel(join(root, "model"));
const names = ["config.json", "merges.txt", "model.safetensors"];
const files = Object.fromEntries(
  await Promise.all(names.map(async (name) => [name, await readFile(join(model, name))] as const)),
);
const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0);
const hub = await serveHub(defaultModel, files, [undefined, undefined, { breakAfter: 100_000 }]);
afterAll(async () => {
  vi.unstubAllEnvs();
  await hub.close();
});

beforeEach(() => {
  for (const name of ["HF_TOKEN", "HF_HOME", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY"])
    vi.stubEnv(name, undefined);
  vi.stubEnv("HF_ENDPOINT", hub.url);
});

const folderIn = (cache: string) => join(cache, `models--${defaultModel.replace("/", "--")}`);

it("loadClip() without a name fetches the default, announced, over a broken connection, and then finds it offline", async () => {
  const cache = join(root, "library");
  vi.stubEnv("HF_HUB_CACHE", cache);
  const plans: FetchPlan[] = [];
  const seen: DownloadProgress[] = [];
  const onProgress = (progress: DownloadProgress) => {
    expect(plans).toHaveLength(1);
    seen.push(progress);
  };
  await using clip = await loadClip(undefined, { onFetch: (plan) => plans.push(plan), onProgress });
  expect(plans).toEqual([{ name: defaultModel, bytes, folder: folderIn(cache) }]);
  const ranges = hub.requests.filter(({ path }) => path.endsWith("model.safetensors")).map(({ range }) => range);
  expect(ranges).toEqual([undefined, "bytes=100000-"]);
  const total = files["model.safetensors"]!.length;
  expect(seen.at(-1)).toMatchObject({ received: total, total });
  expect(await clip.classify(image, ["red apple", "blue sea"])).toHaveLength(2);
  await using again = await loadClip(undefined, { offline: true, onFetch: (plan) => plans.push(plan) });
  expect([again.path, plans.length]).toEqual([clip.path, 1]);
});

it("clip-ts without --model takes the default, and says how many megabytes come and where they will lie", async () => {
  const cache = join(root, "command");
  vi.stubEnv("HF_HUB_CACHE", cache);
  const { code, err } = await call(["classify", image, "--labels", "red apple,blue sea"]);
  expect([code, err]).toEqual([0, `fetching ${defaultModel}: ${(bytes / 1e6).toFixed(1)} MB into ${folderIn(cache)}`]);
  expect(await call(["classify", image, "--labels", "red apple", "--offline"])).toMatchObject({ code: 0, err: "" });
});

it("offline and in no cache it is an error with every way out, and no other model", async () => {
  vi.stubEnv("HF_HUB_CACHE", join(root, "empty"));
  const wayOut =
    `go online once, or run "clip-ts models fetch ${defaultModel}" on a machine that is and copy its cache here ` +
    "(HF_HUB_CACHE or HF_HOME names the folder); or name a folder or weight file that you have; or take " +
    '"pictograms", which comes with this package and knows drawings, not photos';
  const message = `${defaultModel} is not in the cache (${folderIn(join(root, "empty"))}), and offline nothing is fetched; ${wayOut}`;
  await expect(loadClip(undefined, { offline: true })).rejects.toMatchObject({ code: "CLIP_DOWNLOAD", message });
  for (const command of ["classify", "embed", "forward"]) {
    const args = {
      classify: [image, "--labels", "a"],
      embed: [root, "--out", join(root, "vectors")],
      forward: [join(model, "model.safetensors"), join(root, "out.safetensors")],
    }[command]!;
    const { code, err } = await call([command, ...args, "--offline"]);
    if (command === "forward") expect(err).toMatch(/has neither pixelValues nor inputIds/);
    else expect([code, err]).toEqual([1, `clip-ts ${command}: ${message}`]);
  }
  // Nobody answers there.
  vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
  await expect(loadClip()).rejects.toThrow(`HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror; ${wayOut}`);
});

it("pictograms comes with the package, and says that it knows drawings in every command and page", async () => {
  const page = join(root, "page.html");
  const { code, err } = await call([
    ...["classify", image, "--labels", "rocket,zzzxq", "--model", "pictograms", "--offline", "--html", page],
  ]);
  expect(code).toBe(0);
  expect(err.split("\n")[0]).toBe(
    `pictograms, the bundled model, knows drawings, not photos; ${defaultModel} knows photos`,
  );
  expect(err).toMatch(/the model was not trained on "zzzxq"/);
  const html = await readFile(page, "utf8");
  expect(html).toContain("Classified by <bdi>pictograms</bdi>, zero-shot.");
  expect(html).toContain("pictograms, the bundled model, knows drawings, not photos.");
});
