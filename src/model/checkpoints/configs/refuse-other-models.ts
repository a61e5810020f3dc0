import { ClipError } from "../../../core/errors.ts";
import { cut } from "../../../core/listing.ts";

/**
 * Refuses models other than two-tower CLIPs, by their JSON configuration.
 *
 * @throws {ClipError} `CLIP_CONFIG` with the kind of model.
 */
export function refuseOtherModels(json: unknown, path: string): void {
  if (typeof json !== "object" || json === null) return;
  const { model_type, architectures, architecture, _class_name } = json as Readonly<Record<string, unknown>>;
  const refuse = (kind: string, problem: string) =>
    new ClipError("CLIP_CONFIG", `${path} belongs to ${kind}${problem}; clip-ts needs both towers of a CLIP or SigLIP`);
  const openClip = openClipTowers(json);
  if (openClip.includes("vision_cfg") && !openClip.includes("text_cfg"))
    throw refuse("an open_clip model", " without a text tower (text_cfg)");
  if (openClip.includes("text_cfg") && !openClip.includes("vision_cfg"))
    throw refuse("an open_clip model", " without an image tower (vision_cfg)");
  if (typeof model_type === "string") {
    const [, tower] = /_(vision|text)_model$/.exec(model_type) ?? [];
    const missing = tower === "vision" ? "text" : "image";
    if (tower !== undefined) throw refuse(`a ${cut(model_type)}`, ` without ${missing} tower`);
    return;
  }
  if ("vision" in json || "text" in json) return;
  if (typeof architecture === "string") throw refuse(`timm's image model ${cut(architecture)}`, " without text tower");
  const name = _class_name ?? (Array.isArray(architectures) ? (architectures as readonly unknown[])[0] : undefined);
  if (typeof name === "string") throw refuse(`another kind of model, ${cut(name)}`, "");
}

/** Keys of an open_clip model configuration; none for other JSON. */
function openClipTowers(json: object): string[] {
  const model = "model_cfg" in json ? json.model_cfg : json;
  return typeof model === "object" && model !== null
    ? Object.entries(model).flatMap(([key, value]) => (value === null ? [] : [key]))
    : [];
}
