import { ClipError } from "../../../core/errors.ts";
import type { ClipConfig } from "../../towers/config.ts";
import { huggingFaceNames, siglipNames } from "./hugging-face.ts";
import { customTextNames, openAiNames } from "./openai.ts";
import { type NameTable, type Naming, type Placement, translator } from "./patterns.ts";

/** A way to name the tensors of a model. */
export interface Layout {
  /** For messages. */
  readonly title: string;
  /** Where a tensor of this layout belongs; null if we have no use for it, undefined if it is none of this layout's. */
  toOurs(name: string): Placement | null | undefined;
  /** The tensors that a parameter is made of here, in order; none if the layout has no place for it. */
  fromOurs(path: string): readonly Naming[];
}

/** The layouts that files of one kind of model may have. */
export interface LayoutFamily {
  /** For messages. */
  readonly titles: readonly string[];
  /** The layout of a file by the names in it; undefined if it is none of these. */
  readonly detect: (names: Iterable<string>) => Layout | undefined;
  /** What is wrong with a file of such names, where something can be told by them alone. */
  readonly problem?: (names: Iterable<string>) => string | undefined;
}

const whole = { rows: [0, 1, 1], transposed: false, leadingOnes: 0 } as const;

const ours: Layout = {
  title: "our names",
  toOurs: (path) => ({ path, ...whole }),
  fromOurs: (path) => [{ name: path, ...whole }],
};

const layout = (title: string, table: NameTable): Layout => ({ title, ...translator(table) });

/** Every layout of a CLIP: for the kind of image tower where names depend on it. */
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
  // Only a ViT has a matrix after its tower; a ResNet's attention pool ends in one.
  const isVit = all.has("visual.proj");
  if (some("text.")) return isVit ? layouts.customTextVit : layouts.customTextResNet;
  return isVit ? layouts.openAiVit : layouts.openAiResNet;
}

/** The layout of any record: a tensor's name is the parameter's path. */
export const ownNames: LayoutFamily = { titles: [ours.title], detect: () => ours };

const imageTowerNames = /(^|\.)(vision|visual|vision_model|vision_tower|patch_embed(dings?)?)\./;
const textTowerNames = /(^|\.)(text|text_\w+|token_embedding|tokenEmbedding)\./;

/** What is wrong where a file has tensors of one tower alone. */
function missingTower(names: Iterable<string>): string | undefined {
  const all = [...names];
  const [hasImages, hasTexts] = [imageTowerNames, textTowerNames].map((tower) => all.some((name) => tower.test(name)));
  if (hasImages === hasTexts) return undefined;
  return `has no ${hasImages ? "text" : "image"} tower; clip-ts needs both towers of a CLIP or SigLIP`;
}

/** Every layout of a CLIP. */
export const clipLayouts: LayoutFamily = {
  titles: [...new Set(Object.values(layouts).map(({ title }) => title))],
  detect: detectLayout,
  problem: missingTower,
};

/** Whose names a CLIP can be written in. */
export type LayoutName = "openai" | "hf" | "open_clip";

/**
 * The layout that another library reads a model of this architecture in.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if it has no such models.
 */
export function clipLayout(names: LayoutName, { vision }: ClipConfig): Layout {
  if (vision.kind === "vit" && vision.pool === "probe") {
    if (names === "openai")
      throw new ClipError("CLIP_CHECKPOINT", "OpenAI's layout has no place for SigLIP; convert it to hf or open_clip");
    return names === "hf" ? layouts.siglip : layouts.customTextTimmVit;
  }
  if (names !== "hf") return vision.kind === "vit" ? layouts.openAiVit : layouts.openAiResNet;
  if (vision.kind === "vit") return layouts.huggingFace;
  throw new ClipError("CLIP_CHECKPOINT", "Hugging Face's CLIPModel has no ResNets; convert it to openai or open_clip");
}
