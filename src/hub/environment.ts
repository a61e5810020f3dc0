import { homedir } from "node:os";
import { join } from "node:path";

/** Whether the environment forbids to ask the network, in the words of Hugging Face's own library. */
export const offlineByDefault = (): boolean => /^(1|on|yes|true)$/i.test(process.env["HF_HUB_OFFLINE"] ?? "");

/** The hub, or the mirror that the environment names. */
export const hubUrl = (): string => (process.env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, "");

/** Where Hugging Face's libraries keep what is theirs; a variable that is empty counts for none. */
export function huggingFaceHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
}
