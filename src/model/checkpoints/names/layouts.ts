import { huggingFaceNames, siglipNames } from "./hugging-face.ts";
import { customTextNames, openAiNames } from "./openai.ts";
import { type NameTable, type Naming, type Placement, translator } from "./patterns.ts";

/** A way to name the tensors of a CLIP. */
export interface Layout {
  /** For messages. */
  readonly title: string;
  /** Where a tensor of this layout belongs; null if we have no use for it, undefined if it is none of this layout's. */
  toOurs(name: string): Placement | null | undefined;
  /** The tensors that a parameter is made of here, in order; none if the layout has no place for it. */
  fromOurs(path: string): readonly Naming[];
}

const whole = { rows: [0, 1, 1], transposed: false, leadingOnes: 0 } as const;

const ours: Layout = {
  title: "our names",
  toOurs: (path) => ({ path, ...whole }),
  fromOurs: (path) => [{ name: path, ...whole }],
};

const layout = (title: string, table: NameTable): Layout => ({ title, ...translator(table) });

/** Every layout: for the kind of image tower where names depend on it. */
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

/** The layout of a file by the names in it; undefined if it is none that we know. */
export function detectLayout(names: Iterable<string>): Layout | undefined {
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

const imageTower = /(^|\.)(vision|visual|vision_model|vision_tower|patch_embed(dings?)?)\./;
const textTower = /(^|\.)(text|text_\w+|token_embedding|tokenEmbedding)\./;

/** The tower that a file has no tensors of, where it has some of the other. */
export function missingTower(names: Iterable<string>): "image" | "text" | undefined {
  const all = [...names];
  const [hasImages, hasTexts] = [imageTower, textTower].map((tower) => all.some((name) => tower.test(name)));
  if (hasImages === hasTexts) return undefined;
  return hasImages ? "text" : "image";
}
