import { openAiNames } from "./openai.ts";
import { type PatternPair, translator } from "./patterns.ts";

/** A way to name the tensors of a CLIP. */
export interface Layout {
  /** For messages. */
  readonly name: string;
  /** A name of this layout to ours; null if we have no use for it, undefined if it is none of this layout's. */
  toOurs(name: string): string | null | undefined;
  /** Our path to its name in this layout; undefined if the layout has no place for it. */
  fromOurs(path: string): string | undefined;
}

const ours: Layout = { name: "our names", toOurs: (name) => name, fromOurs: (path) => path };

function openAi(kind: keyof typeof openAiNames): Layout {
  const rows: PatternPair[] = Object.entries(openAiNames[kind]);
  const back = translator(rows.flatMap(([theirs, path]): PatternPair[] => (path === null ? [] : [[path, theirs]])));
  return { name: "OpenAI's names", toOurs: translator(rows), fromOurs: (path) => back(path) ?? undefined };
}

/** Every layout: for the kind of image tower where names depend on it. */
export const layouts = { ours, openAiVit: openAi("vit"), openAiResNet: openAi("resnet") } satisfies Record<
  string,
  Layout
>;

/** The layout of a file by the names in it; undefined if it is none that we know. */
export function detectLayout(names: Iterable<string>): Layout | undefined {
  const all = [...names];
  if (all.some((name) => name.startsWith("vision."))) return layouts.ours;
  if (!all.some((name) => name.startsWith("visual."))) return undefined;
  // Only a ViT has a matrix after its tower; a ResNet's attention pool ends in one.
  return all.includes("visual.proj") ? layouts.openAiVit : layouts.openAiResNet;
}
