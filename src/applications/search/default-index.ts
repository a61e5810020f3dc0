import { homedir, platform } from "node:os";
import { join } from "node:path";

/**
 * The index that a user's folders share unless another is named: one per model, where the system keeps programs' data.
 *
 * @param model - its display name.
 */
export function defaultIndexFolder(model: string): string {
  return join(dataFolder(), "clip-ts", "indexes", model.replaceAll(/[^\p{L}\p{N}.-]+/gu, "-"));
}

function dataFolder(): string {
  const { XDG_DATA_HOME, LOCALAPPDATA } = process.env;
  if (XDG_DATA_HOME) return XDG_DATA_HOME;
  if (platform() === "win32") return LOCALAPPDATA ?? join(homedir(), "AppData", "Local");
  if (platform() === "darwin") return join(homedir(), "Library", "Application Support");
  return join(homedir(), ".local", "share");
}
