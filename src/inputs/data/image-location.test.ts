import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import {
  assertSomeExist,
  type ImageLocation,
  imageOfTable,
  readImage,
  readImageAtOnce,
  readImageBytes,
} from "./image-location.ts";

const root = await temporaryFolder();
const folder = join(root, "set");
const table = join(folder, "table.csv");
beforeAll(async () => {
  await mkdir(join(folder, "photos"), { recursive: true });
  await writeRandomImage(join(folder, "photos/a.png"), 1);
  await writeRandomImage(join(root, "secret.png"), 2);
  await symlink(join(root, "secret.png"), join(folder, "link.png"));
  await symlink(root, join(folder, "out"));
  await symlink("photos", join(folder, "inner"));
  await symlink("/dev/zero", join(folder, "zero.png"));
});

describe("images of a table", () => {
  it.each(["../secret.png", "photos/../../secret.png", "/etc/passwd", join(root, "secret.png"), "../set-2/a.png"])(
    "are refused where the path leads out of its folder: %s",
    (path) => {
      expect(() => imageOfTable(table, "line 7", path, undefined)).toThrow(
        `${table}, line 7: ${path} is outside ${folder}, the table's folder; ` +
          "if that is meant, name a folder that holds all its images by images (--images): / for any",
      );
    },
  );

  it("may lie elsewhere where a user names the folder, and nowhere else then", () => {
    const named = imageOfTable(table, "line 2", join(root, "secret.png"), root);
    expect(named).toEqual({ image: join(root, "secret.png") });
    expect(imageOfTable(table, "line 2", "photos/a.png", "/x").image).toBe("/x/photos/a.png");
    expect(imageOfTable(table, "line 2", "/anywhere/a.png", "/").image).toBe("/anywhere/a.png");
    expect(() => imageOfTable(table, "line 2", "/etc/passwd", root)).toThrow(/outside .*, as images \(--images\) says/);
    expect(imageOfTable(table, "line 2", join(folder, "photos/a.png"), undefined).within).toBe(folder);
    expect(imageOfTable(table, "line 2", "..a.png", undefined).image).toBe(join(folder, "..a.png"));
  });

  it("are not read through links that lead out, in any way of reading", async () => {
    const ways: readonly ((image: ImageLocation) => Promise<unknown>)[] = [readImage, readImageAtOnce, readImageBytes];
    for (const read of ways) {
      for (const path of ["link.png", "out/secret.png"])
        await expect(read(imageOfTable(table, "line 2", path, undefined))).rejects.toThrow(
          `${join(folder, path)} is a link to ${join(root, "secret.png")}, outside the table's folder; to follow such links`,
        );
      for (const path of ["photos/a.png", "inner/a.png"])
        await expect(read(imageOfTable(table, "line 2", path, undefined))).resolves.toBeDefined();
      await expect(read(imageOfTable(table, "line 2", "link.png", folder))).resolves.toBeDefined();
    }
  });

  it.skipIf(process.platform === "win32")("are files: pipes and devices are refused at once", async () => {
    execFileSync("mkfifo", [join(folder, "pipe.png")]);
    for (const path of ["pipe.png", "zero.png"])
      for (const read of [readImage, readImageAtOnce, readImageBytes])
        await expect(read({ image: join(folder, path) })).rejects.toThrow(/not an image file/);
    await writeFile(join(folder, "empty.png"), "");
    await expect(readImage({ image: join(folder, "empty.png") })).rejects.toThrow(/is empty/);
  });
});

it.skipIf(process.platform === "win32").each([
  ["file:///photos/a.png", "name files by their paths, without file://"],
  ["https://example.org/a.png", "images at addresses are not fetched; fetch them first, for example with img2dataset"],
  ["photos\\a.png", "paths are written with / here; replace each \\ in them"],
  ["photos/b.png", "paths in it are relative to its own folder"],
])("a table is refused with what is wrong with its paths: %s", async (path, reason) => {
  const image = imageOfTable(table, "line 2", path, undefined);
  await expect(assertSomeExist(table, [image])).rejects.toThrow(new RegExp(`; ${reason.replace("\\", "\\\\")}$`));
});
