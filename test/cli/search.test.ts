import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { cp } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../temporary-folder.ts";
import { call } from "./call.ts";

const root = await temporaryFolder();
const samples = fileURLToPath(new URL("../../assets/samples", import.meta.url));
const drawings = join(root, "drawings");
await mkdir(join(drawings, "food"), { recursive: true });
for (const name of ["rocket", "bicycle", "snail", "house", "guitar", "umbrella", "sunflower"])
  await cp(join(samples, `${name}.png`), join(drawings, `${name}.png`));
await cp(join(samples, "pizza.png"), join(drawings, "food", "lunch.png"));
const model = ["--model", "pictograms", "--index", join(root, "index")];
const search = (...args: string[]) => call(["search", ...args, ...model]);
const paths = (out: string) => out.split("\n").map((path) => path.slice(drawings.length + 1));

interface SearchDocument {
  readonly model: string;
  readonly data: string;
  readonly results: readonly { readonly path: string; readonly probability: number; readonly hasWords: boolean }[];
}

describe("clip-ts search", () => {
  it("indexes the folder first, finds what a sentence says, and says when nothing matches", async () => {
    const { code, out, err } = await search("a rocket", drawings);
    expect([code, out]).toEqual([0, expect.stringMatching(/^\s+\d+\.\d\s%\s+.*rocket\.png$/)]);
    expect(err).toContain("1 image found");
    const nothing = await search("a computer keyboard", drawings);
    expect([nothing.code, nothing.out]).toEqual([0, "nothing matches; --min-probability 0 shows the nearest images"]);
  });

  it("takes an example, and texts to add and to subtract", async () => {
    const like = await search("--like", join(samples, "pizza.png"), "--paths");
    expect(paths(like.out)[0]).toBe("food/lunch.png");
    const { results } = JSON.parse(
      (await search("a vehicle", "--minus", "3:a rocket", "--json", "--min-probability", "0")).out,
    ) as SearchDocument;
    expect(results.at(-1)!.path).toBe(join(drawings, "rocket.png"));
  });

  it("finds words of file names, filters, and limits", async () => {
    const named = JSON.parse((await search("lunch", "--json")).out) as SearchDocument;
    expect(named.results).toContainEqual(
      expect.objectContaining({ path: join(drawings, "food", "lunch.png"), hasWords: true }),
    );
    expect(named.model).toBe("pictograms");
    const vectors = JSON.parse(
      (await search("lunch", "--no-words", "--json", "--min-probability", "0.9999")).out,
    ) as SearchDocument;
    expect(vectors.results).toEqual([]);
    const all = ["--min-probability", "0", "--paths", "--no-words"];
    expect(paths((await search("food", "--where", "folder = food", ...all)).out)).toEqual(["food/lunch.png"]);
    expect(paths((await search("food", "--where", "not folder = food", ...all)).out)).toHaveLength(7);
    expect(paths((await search("food", "--top-k", "2", ...all)).out)).toHaveLength(2);
    expect((await search("food", "--near", "52.5,13.4,2km", ...all)).out).toBe("");
  });

  it("writes a page with the images", async () => {
    const file = join(root, "found.html");
    const { code, err } = await search("a guitar", drawings, "--html", file);
    expect([code, err]).toEqual([0, expect.stringContaining(`wrote ${file}`)]);
    const html = await readFile(file, "utf8");
    expect(html).toContain("<bdi>a guitar</bdi>");
    expect(html.match(/<img src="data:image\//g)).toHaveLength(1);
  });

  it.each([
    [[], "say what to look for"],
    [["a dog", "--where", "colour = red"], "the filter is not understood"],
    [["a dog", "--near", "x"], "the filter is not understood"],
    [["a dog", join(root, "never")], "never cannot be read"],
    [["a dog", "--top-k", "0"], "It must be a whole number"],
    [["--like", join(root, "none.png")], "does not exist"],
  ])("refuses %j", async (args, message) => {
    const { code, out, err } = await search(...args);
    expect([code === 0, out]).toEqual([false, ""]);
    expect(err).toContain(message);
  });
});

describe("clip-ts index", () => {
  it("keeps up with a folder until it is stopped", async () => {
    const folder = join(root, "watched");
    await mkdir(folder);
    await cp(join(samples, "house.png"), join(folder, "house.png"));
    const stop = new AbortController();
    const printed: string[] = [];
    let hasEnded = false;
    const line = async (count: number) => {
      while (printed.length < count && !hasEnded) await sleep(50);
      return printed[count - 1];
    };
    const args = ["index", folder, "--watch", "--model", "pictograms", "--index", join(root, "watched-index")];
    const ended = call(args, { signal: stop.signal, out: (text) => void printed.push(text) });
    void ended.then(() => (hasEnded = true));
    expect(await line(1)).toBe("1 embedded");
    await cp(join(samples, "snail.png"), join(folder, "snail.png"));
    expect(await line(2)).toBe("1 embedded, 1 unchanged");
    await rm(join(folder, "house.png"));
    expect(await line(3)).toBe("1 unchanged, 1 removed");
    stop.abort();
    expect((await ended).code).toBe(130);
  });

  it("says what it did, as text and as JSON", async () => {
    const indexed = (...args: string[]) => call(["index", drawings, ...model, ...args]);
    const { code, out } = await indexed();
    expect([code, out]).toEqual([0, `8 unchanged\n8 images in the index ${join(root, "index")}`]);
    const { results } = JSON.parse((await indexed("--json", "--exclude", "food/")).out) as { results: object };
    expect(results).toMatchObject({ embedded: 0, unchanged: 7, removed: 1, offline: [] });
  });
});
