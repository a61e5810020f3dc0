import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../temporary-folder.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** An empty project that has the built package, and what the package depends on, in its `node_modules`. */
export async function emptyProject(): Promise<string> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules/clip-ts"), "junction");
  return folder;
}
