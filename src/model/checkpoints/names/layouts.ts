import { ClipError } from "../../../core/errors.ts";
import type { ClipConfig } from "../../towers/config.ts";
import { huggingFaceNames, siglipNames } from "./hugging-face.ts";
import { customTextNames, openAiNames } from "./openai.ts";
import { type NameTable, type Naming, type TensorPlacement, translator } from "./patterns.ts";

/** A naming scheme for a model's tensors. */
export interface Layout {
  /** For messages. */
  readonly title: string;
  /** The place of a file's tensor in the model; null if it is not needed, undefined if the name is unknown. */
  toOurs(name: string): TensorPlacement | null | undefined;
  /** The file tensors that make up a parameter, in order; none if the layout cannot hold it. */
  fromOurs(path: string): readonly Naming[];
}

/** The layouts for one kind of model. */
export interface LayoutFamily {
  /** For messages. */
  readonly titles: readonly string[];
  /** Detects the layout from a file's tensor names; undefined if unknown. */
  readonly detect: (names: Iterable<string>) => Layout | undefined;
  /** A problem that tensor names alone reveal, as a message. */
  readonly problem?: (names: Iterable<string>) => string | undefined;
}

const whole = { rows: [0, 1, 1], transposed: false, leadingOnes: 0 } as const;

const ours: Layout = {
  title: "our names",
  toOurs: (path) => ({ path, ...whole }),
  fromOurs: (path) => [{ name: path, ...whole }],
};

const layout = (title: string, table: NameTable): Layout => ({ title, ...translator(table) });

/** All layouts of a CLIP, by kind of image tower where names depend on it. */
export const layouts = {
  ours,
  openAiVit: layout("OpenAI's names", openAiNames.vit),
  openAiResNet: layout("OpenAI's names", openAiNames.resNet),
  customTextVit: layout("open_clip's CustomTextCLIP", customTextNames.vit),
  customTextResNet: layout("open_clip's CustomTextCLIP", customTextNames.resNet),
  customTextTimmVit: layout("open_clip's CustomTextCLIP", customTextNames.timmVit),
  huggingFace: layout("Hugging Face's CLIPModel", huggingFaceNames),
  siglip: layout("Hugging Face's SiglipModel", siglipNames),
} satisfies Record<string, Layout>;

function detectLayout(names: Iterable<string>): Layout | undefined {
  const all = new Set(names);
  const some = (prefix: string) => [...all].some((name) => name.startsWith(prefix));
  if (some("vision.")) return layouts.ours;
  if (some("vision_model.") && some("text_model."))
    return all.has("vision_model.head.probe") ? layouts.siglip : layouts.huggingFace;
  if (!some("visual.")) return undefined;
  if (some("visual.trunk.")) return layouts.customTextTimmVit;
  // Only a ViT has a separate projection; a ResNet's is inside its attention pool.
  const isVit = all.has("visual.proj");
  if (some("text.")) return isVit ? layouts.customTextVit : layouts.customTextResNet;
  return isVit ? layouts.openAiVit : layouts.openAiResNet;
}

/** The layout of any record: a tensor's name is the parameter's path. */
export const ownNames: LayoutFamily = { titles: [ours.title], detect: () => ours };

const imageTowerNames = /(^|\.)(vision|visual|vision_model|vision_tower|patch_embed(dings?)?)\./;
const textTowerNames = /(^|\.)(text|text_\w+|token_embedding|tokenEmbedding)\./;

/** A message if a file has tensors of only one tower. */
function missingTower(names: Iterable<string>): string | undefined {
  const all = [...names];
  const [hasImages, hasTexts] = [imageTowerNames, textTowerNames].map((tower) => all.some((name) => tower.test(name)));
  if (hasImages === hasTexts) return undefined;
  return `has no ${hasImages ? "text" : "image"} tower; clip-ts needs both towers of a CLIP or SigLIP`;
}

export const clipLayouts: LayoutFamily = {
  titles: [...new Set(Object.values(layouts).map(({ title }) => title))],
  detect: detectLayout,
  problem: missingTower,
};

/** Libraries whose tensor names a CLIP can be written in. */
export type LayoutName = "openai" | "hf" | "open_clip";

/**
 * The layout in which another library reads this architecture.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if the library does not support it.
 */
export function clipLayout(names: LayoutName, { vision }: ClipConfig): Layout {
  if (vision.kind === "vit" && vision.pool === "probe") {
    if (names === "openai")
      throw new ClipError("CLIP_CHECKPOINT", "OpenAI's layout does not support SigLIP; convert it to hf or open_clip");
    return names === "hf" ? layouts.siglip : layouts.customTextTimmVit;
  }
  if (names !== "hf") return vision.kind === "vit" ? layouts.openAiVit : layouts.openAiResNet;
  if (vision.kind === "vit") return layouts.huggingFace;
  throw new ClipError("CLIP_CHECKPOINT", "Hugging Face's CLIPModel has no ResNets; convert it to openai or open_clip");
}
