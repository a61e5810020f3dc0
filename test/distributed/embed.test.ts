import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { counted } from "../../src/interfaces/report/numbers.ts";
import { describe, expect, it } from "vitest";
import { call } from "../cli/call.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";
import { hasMpirun, mpirun, unlessThere } from "./mpirun.ts";

describe.skipIf(!hasMpirun)(`clip-ts embed in two processes${unlessThere}`, () => {
  it("leaves the files of one process, each written by one of the two", async () => {
    const root = await temporaryFolder();
    const model = await saveTinyModel(join(root, "model"));
    const images = join(root, "images");
    await mkdir(images);
    for (let i = 0; i < 7; i++) await writeRandomImage(join(images, `${i}.png`), i);
    const args = (out: string) => ["embed", images, "--out", out, "--model", model, "--shard-size", "2"];
    const [alone, together] = [join(root, "alone"), join(root, "together")];
    expect(await call(args(alone))).toMatchObject({ code: 0 });
    const { code, out, err } = await mpirun(2, ["./cli-child.ts", ...args(together)]);
    // Progress is printed where it takes longer than some seconds.
    expect([code, err.replace(/^\d of 7.*\n/gm, "")]).toEqual([0, ""]);
    expect(out.trimEnd().split("\n").sort()).toEqual(
      [2, 2, 2, 1].map((vectors, i) => `${join(together, `0000${i}.parquet`)}  ${counted(vectors, "vector")}`),
    );
    const names = (await readdir(alone)).sort();
    expect((await readdir(together)).sort()).toEqual(names);
    for (const name of names)
      expect((await readFile(join(together, name))).equals(await readFile(join(alone, name))), name).toBe(true);
  });
});
