import { execFileSync } from "node:child_process";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { unprivileged } from "../../../test/unprivileged.ts";
import { listFolder } from "./folders.ts";

let root: string;
let made = 0;
let jpeg: Buffer;
let webp: Buffer;
beforeAll(async () => {
  root = await temporaryFolder();
  await chmod(root, 0o755);
  const file = sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } });
  [jpeg, webp] = [await file.jpeg().toBuffer(), await file.webp().toBuffer()];
});

async function folder(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const path = join(root, String(made++));
  await mkdir(path);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

/** What is left out of a folder, by its path in it. */
async function skippedIn(path: string): Promise<Record<string, string>> {
  const { skipped } = await listFolder(path);
  return Object.fromEntries(skipped.map(({ image, reason }) => [image.slice(path.length + 1), reason]));
}

describe("listFolder", () => {
  it("takes images by their content where the ending does not say what they are", async () => {
    const path = await folder({
      ...{ "a.jfif": jpeg, "b.jpe": jpeg, c: jpeg, "D.JPG": "", "e.dat": webp, "21.10": jpeg, "f.tiff": "" },
      ...{ "notes.md": "BM", "a.txt": "a caption", LICENSE: "words", "empty.bin": "", "index.html": "<svg>" },
    });
    expect(await listFolder(path)).toEqual({
      images: ["21.10", "D.JPG", "a.jfif", "b.jpe", "c", "e.dat", "f.tiff"],
      others: ["LICENSE", "a.txt", "empty.bin", "index.html", "notes.md"],
      skipped: [],
    });
  });

  it("lists images that cannot be decoded, and why", async () => {
    const path = await folder({
      "a.heic": Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1"),
      "b.jp2": Buffer.from("\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "latin1"),
      ...{ "c.bmp": "no bitmap", "d.jfif": "", "real.jp2": jpeg },
    });
    expect((await listFolder(path)).images).toEqual(["real.jp2"]);
    expect(await skippedIn(path)).toEqual({
      "a.heic": "its content is HEIC, which cannot be decoded here; convert it to JPEG or PNG",
      "b.jp2": "its content is JPEG 2000, which cannot be decoded here; convert it to JPEG or PNG",
      "c.bmp": "its content has no known image format",
      "d.jfif": "it is empty (0 bytes)",
    });
  });

  it("passes over what systems and programs leave", async () => {
    const litter = [
      ".ipynb_checkpoints",
      "@eaDir",
      "__MACOSX",
      "lost+found",
      "$RECYCLE.BIN",
      ".git",
      ".@__thumb",
      "@Recycle",
    ]
      .concat(["#recycle", ".thumbnails", "__pycache__", "System Volume Information", "Catalog Previews.lrdata"])
      .map((name) => `${name}/x/a.jpg`)
      .concat(["._a.jpg", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", ".hidden.png", "Icon\r"]);
    const path = await folder({ ...Object.fromEntries(litter.map((name) => [name, jpeg])), "a.jpg": jpeg });
    expect(await listFolder(path)).toEqual({ images: ["a.jpg"], others: [], skipped: [] });
    // Whoever names such a folder means it.
    expect((await listFolder(join(path, ".thumbnails"))).images).toEqual(["x/a.jpg"]);
  });

  it("reads each folder once, whatever links lead to it", async () => {
    const path = await folder({ "a/1.jpg": "", "b/2.jpg": "", "../out/3.jpg": "" });
    await symlink(path, join(path, "a/loop"));
    await symlink("../b", join(path, "a/to-b"));
    await symlink("../a", join(path, "b/to-a"));
    await symlink("../out", join(path, "out-1"));
    await symlink("../out", join(path, "out-2"));
    await symlink("/", join(path, "everything"));
    await symlink("nowhere", join(path, "broken"));
    await symlink("self.jpg", join(path, "self.jpg"));
    await symlink("b/2.jpg", join(path, "copy.jpg"));
    expect((await listFolder(path)).images).toEqual(["a/1.jpg", "b/2.jpg", "copy.jpg", "out-1/3.jpg"]);
    expect(await skippedIn(path)).toEqual({
      "a/to-b": `it is a link to ${join(path, "b")}, where its images are read`,
      "b/to-a": `it is a link to ${join(path, "a")}, where its images are read`,
      "out-2": `it is a link to ${join(path, "out-1")}, where its images are read`,
      everything: "it is a link to a folder around this one; not followed",
      broken: "it is a link that leads nowhere: it does not exist",
      "self.jpg": expect.stringMatching(/^it is a link that leads nowhere: /) as string,
    });
  });

  it("is read through a link to it, and on both sides of a loop", async () => {
    const path = await folder({ "a/1.jpg": "" });
    await symlink(path, join(root, "way-in"));
    await symlink(join(root, "way-in"), join(path, "a/back"));
    expect((await listFolder(join(root, "way-in"))).images).toEqual(["a/1.jpg"]);
  });

  it.skipIf(process.platform === "win32")(
    "lists pipes, names that are no text, and folders that are closed",
    async () => {
      const path = await folder({ "a.jpg": "", "closed/b.jpg": "" });
      execFileSync("mkfifo", [join(path, "pipe.jpg"), join(path, "pipe.txt"), join(path, "pipe")]);
      await symlink("/dev/zero", join(path, "zero.png"));
      await writeFile(Buffer.concat([Buffer.from(`${path}/caf`), Buffer.of(0xe9), Buffer.from(".jpg")]), "");
      await writeFile(join(path, "caf\ufffd.png"), "");
      await chmod(join(path, "closed"), 0o000);
      const { images, skipped } = await unprivileged(() => listFolder(path));
      expect(images).toEqual(["a.jpg", "caf\ufffd.png"]);
      expect(skipped.map(({ image, reason }) => `${image.slice(path.length + 1)}: ${reason}`)).toEqual([
        "caf\ufffd.jpg: its name is not UTF-8, or it is gone; rename it",
        "closed: the folder cannot be read: permission denied",
        "pipe: it is a pipe, a socket or a device, and no file",
        "pipe.jpg: it is a pipe, a socket or a device, and no file",
        "zero.png: it is a link to a pipe, a socket or a device, and to no file",
      ]);
    },
  );

  it("orders paths as text, whatever order the disk has", async () => {
    const names = ["b/1.jpg", "a.jpg", "a/2.jpg", "B.jpg", "é.jpg", "a-b.jpg", "10.jpg", "9.jpg"];
    expect((await listFolder(await folder(Object.fromEntries(names.map((name) => [name, ""]))))).images).toEqual(
      names.sort(),
    );
  });

  it("stops when it is told to, and says of a folder that is not there that it is not", async () => {
    const path = await folder({ "a.jpg": "" });
    await expect(listFolder(path, { signal: AbortSignal.abort() })).rejects.toThrow("aborted");
    await expect(listFolder(join(path, "none"))).rejects.toMatchObject({
      code: "CLIP_DATA",
      message: `${join(path, "none")} cannot be read: it does not exist`,
    });
  });
});

describe.skipIf(sharedMissing)(`folders that people have${sharedMissing}`, () => {
  it("hold images of other endings, and litter", async () => {
    const { images, skipped } = await listFolder(join(sharedFolder, "cases/jfif-folder"));
    expect(images).toEqual([
      ...["pizza/jfif.jfif", "pizza/noext", "pizza/png.png"],
      ...["rocket/jfif.jfif", "rocket/jpe.jpe", "rocket/jpg.jpg", "snail/s1.bmp", "snail/s2.heic"],
    ]);
    expect(skipped.map(({ reason }) => reason)).toEqual([expect.stringMatching(/JPEG 2000, which cannot be decoded/)]);
    const hidden = await listFolder(join(sharedFolder, "cases/hidden-folders"));
    expect(hidden.images).toEqual(["evdata/rocket/a.png", "hid/pizza/a.png", "hid/rocket/a.png"]);
  });
});
