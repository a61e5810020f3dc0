import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ClipError } from "../../core/errors.ts";

/** Whether the environment forbids to ask the network, in the words of Hugging Face's own library. */
export const offlineByDefault = (): boolean => /^(1|on|yes|true)$/i.test(process.env["HF_HUB_OFFLINE"] ?? "");

/**
 * The hub, or the mirror that the environment names.
 *
 * @throws {ClipError} `CLIP_DOWNLOAD` if that is no address, or one with a password, which messages would repeat.
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

/** Where Hugging Face's libraries keep what is theirs; a variable that is empty counts for none. */
export function huggingFaceHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
}

/** The token of the environment or of Hugging Face's own login, if there is one; it goes to the hub alone, and into no message. */
export async function hubToken(): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH } = process.env;
  const file = HF_TOKEN_PATH || join(huggingFaceHome(), "token");
  return (HF_TOKEN || (await readFile(file, "utf8").catch(() => ""))).trim() || undefined;
}
