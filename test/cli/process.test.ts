import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../images.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { runProcess, start } from "./spawn.ts";

const root = await mkdtemp(join(tmpdir(), "clip-ts-"));
afterAll(() => rm(root, { recursive: true, force: true }));
const model = await saveTinyModel(join(root, "model"));
const image = await writeRandomImage(join(root, "image.png"), 1);

describe("the process", () => {
  it("prints its version and help, and says what it is misused for", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    expect(await runProcess(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
    expect(await runProcess(["classify", "--help"])).toMatchObject({ code: 0, err: "" });
    expect(await runProcess([])).toMatchObject({ code: 2, out: "" });
    expect(await runProcess(["classify", image, "--model", model, "--labels", ""])).toMatchObject({
      code: 2,
      out: "",
    });
  });

  it("prints results and nothing else on the standard output, without colours where nobody watches", async () => {
    const args = ["classify", image, "--model", model, "--labels", "a cat,a dog"];
    const { code, out, err } = await runProcess([...args, "--json"]);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({ results: [{ image: image }] });
    expect((await runProcess(args)).out).not.toContain("\u001b");
  });

  it("fails without a stack", async () => {
    const { code, out, err } = await runProcess(["classify", join(root, "nowhere"), "--model", model, "--labels", "a"]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toBe(`clip-ts classify: ${join(root, "nowhere")} does not exist; check the path\n`);
  });

  it("reads texts from the standard input", async () => {
    const { code, out } = await runProcess(["tokenize"], "a cat");
    expect([code, out]).toEqual([0, "49406 320 2368 49407\n"]);
  });

  it("ends quietly when its reader has seen enough", async () => {
    const child = start(["tokenize"]);
    let err = "";
    child.stderr!.on("data", (chunk: Buffer) => (err += chunk.toString()));
    child.stdout!.once("data", () => child.stdout!.destroy());
    child.stdin!.on("error", () => {});
    child.stdin!.end("a photo of a cat and a dog\n".repeat(100_000));
    const [code] = (await once(child, "close")) as [number];
    expect([code, err]).toEqual([0, ""]);
  });

  it.skipIf(!existsSync("/dev/full"))("says so when the disk is full, and fails", async () => {
    const full = openSync("/dev/full", "w");
    const child = start(["--version"], { stdio: ["ignore", full, "pipe"] });
    const closed = once(child, "close");
    expect(await text(child.stderr!)).toBe("clip-ts: cannot write the results: the disk is full\n");
    expect(((await closed) as [number])[0]).toBe(1);
    closeSync(full);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("stops on %s with exit code %i", async (signal, wanted) => {
    const child = start(["tokenize"]);
    // More than a pipe holds: once it is gone, the command reads, and waits for the rest that does not come.
    await new Promise((resolve) => child.stdin!.write("a cat\n".repeat(500_000), resolve));
    child.kill(signal);
    const [code] = (await once(child, "close")) as [number];
    expect(code).toBe(wanted);
  });
});
