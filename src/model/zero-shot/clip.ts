import { checkKind, checkOptions, type OptionKinds, pickOptions, text, withoutKinds } from "../../core/options.ts";
import { ClipEncoder, collect, encoderKinds } from "../embedding/encoder.ts";
import type { EncoderOptions } from "../embedding/compiled-towers.ts";
import { readModelKinds, type ReadModelOptions } from "../pretrained/model-files.ts";
import { readModel } from "../pretrained/model-folder.ts";
import { resolveKinds } from "../hub/resolve-kinds.ts";
import { resolveModel, type ResolveOptions } from "../hub/resolve.ts";
import { decodeKinds, imageKind } from "../../inputs/image/image-source.ts";
import type { DecodeOptions, ImageSource } from "../../inputs/image/image-source.ts";
import {
  type ClassifierOptions,
  classifierKinds,
  type RankedLabel,
  rankKinds,
  ZeroShotClassifier,
} from "./classifier.ts";
import type { ClassLabel } from "./prompts.ts";

/** Number of label sets whose embeddings a model caches. */
const maxClassifiers = 8;

export interface ClassifyOptions extends Omit<ClassifierOptions, "signal" | "onEqualLabels">, DecodeOptions {
  /** Number of labels to return; default all. */
  readonly topK?: number | undefined;
}

const classifyKinds: OptionKinds<ClassifyOptions> = {
  ...withoutKinds(classifierKinds, "signal", "onEqualLabels"),
  ...decodeKinds,
  ...rankKinds,
};

export interface LoadOptions extends ReadModelOptions, ResolveOptions, EncoderOptions {}

const loadKinds: OptionKinds<LoadOptions> = { ...readModelKinds, ...resolveKinds, ...encoderKinds };

/**
 * Loads a CLIP model.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const [best] = await clip.classify("photo.jpg", ["a cat", "a dog"]);
 * console.log(best?.label, best?.probability);
 * ```
 *
 * @param model - a folder or weight file, see {@link readModel}; a published model by OpenAI's name ("ViT-B/32") or its repository
 *   on Hugging Face's hub ("openai/clip-vit-base-patch32"), fetched once; or "pictograms", the bundled model, which knows drawings,
 *   not photos. Default: `defaultModel`, a ViT-B/32 for photos; the first call fetches 605 MB into Hugging Face's cache (`onFetch`,
 *   `onProgress`). In a page there is no default.
 * @throws {ClipError} see {@link readModel} and {@link resolveModel}.
 */
export async function loadClip(model?: string, options: LoadOptions = {}): Promise<ClipModel> {
  if (model !== undefined) checkKind("loadClip: the model", model, text);
  checkOptions("loadClip", options, loadKinds);
  const path = await resolveModel(model, pickOptions(options, resolveKinds));
  const stored = await readModel(path, pickOptions(options, readModelKinds));
  return new ClipModel(stored, pickOptions(options, encoderKinds));
}

/** A {@link ClipEncoder} that also classifies. */
export class ClipModel extends ClipEncoder {
  /** By labels and options, least recently used first. */
  readonly #classifiers = new Map<string, Promise<ZeroShotClassifier>>();

  /**
   * Labels of an image, best first. Embeddings of the labels are cached for the next image.
   *
   * @param labels - name or names of each class.
   * @throws {ClipError} `CLIP_IMAGE` if the image cannot be read; `CLIP_USAGE` and `CLIP_TEXT`, see
   *   {@link ZeroShotClassifier.create}.
   */
  async classify(
    image: ImageSource,
    labels: readonly ClassLabel[],
    options: ClassifyOptions = {},
  ): Promise<RankedLabel[]> {
    checkKind("classify: the image", image, imageKind);
    checkOptions("classify", options, classifyKinds);
    const { topK, templates, none, multiLabel, onTruncate, ...decoding } = options;
    const classifier = await this.#classifier(labels, { templates, none, multiLabel, onTruncate });
    const [imageEmbed] = await collect(this.encodeImages([image], decoding));
    return classifier.rank(imageEmbed!, { topK });
  }

  #classifier(labels: readonly ClassLabel[], options: ClassifierOptions): Promise<ZeroShotClassifier> {
    const key = JSON.stringify([labels, options, options.onTruncate !== undefined]);
    const classifier = this.#classifiers.get(key) ?? ZeroShotClassifier.create(this, labels, options);
    this.#classifiers.delete(key);
    this.#classifiers.set(key, classifier);
    classifier.catch(() => this.#classifiers.delete(key));
    if (this.#classifiers.size > maxClassifiers) this.#classifiers.delete(this.#classifiers.keys().next().value!);
    return classifier;
  }
}
