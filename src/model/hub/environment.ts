import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ClipError } from "../../core/errors.ts";

/** Whether HF_HUB_OFFLINE is set, as Hugging Face's library interprets it. */
export const offlineByDefault = (): boolean => /^(1|on|yes|true)$/i.test(process.env["HF_HUB_OFFLINE"] ?? "");

/**
 * Address of the hub, or of the mirror in HF_ENDPOINT.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if it is not an address, or contains a password, which messages would repeat.
 */
export function hubUrl(): string {
  const address = process.env["HF_ENDPOINT"] || "https://huggingface.co";
  const { protocol, username, password } = URL.canParse(address) ? new URL(address) : ({} as Partial<URL>);
  if (!/^https?:$/.test(protocol ?? "") || username || password)
    throw new ClipError(
      "CLIP_DOWNLOAD",
      "HF_ENDPOINT must be an address such as https://hub.example, without a password",
    );
  return address.replace(/\/+$/, "");
}

/** Data folder of Hugging Face's libraries. Empty variables count as unset. */
export function huggingFaceHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
}

/** Token from the environment or Hugging Face's login, if any. It is sent only to the hub and never appears in messages. */
export async function hubToken(): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH } = process.env;
  const file = HF_TOKEN_PATH || join(huggingFaceHome(), "token");
  return (HF_TOKEN || (await readFile(file, "utf8").catch(() => ""))).trim() || undefined;
}
