import { checkKind, checkOptions, type OptionKinds, pickOptions, text, withoutKinds } from "../../core/options.ts";
import { ClipEncoder, collect, encoderKinds, type EncoderOptions } from "../embedding/encoder.ts";
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

/** How many sets of labels a model remembers the vectors of. */
const maxClassifiers = 8;

/** What `classify` takes beside image and labels. */
export interface ClassifyOptions extends Omit<ClassifierOptions, "signal" | "onEqualLabels">, DecodeOptions {
  /** How many labels to give back; default all. */
  readonly topK?: number | undefined;
}

const classifyKinds: OptionKinds<ClassifyOptions> = {
  ...withoutKinds(classifierKinds, "signal", "onEqualLabels"),
  ...decodeKinds,
  ...rankKinds,
};

/** How a model is found and read. */
export interface LoadOptions extends ReadModelOptions, ResolveOptions, EncoderOptions {}

const loadKinds: OptionKinds<LoadOptions> = { ...readModelKinds, ...resolveKinds, ...encoderKinds };

/**
 * A CLIP, ready to use.
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const [best] = await clip.classify("photo.jpg", ["a cat", "a dog"]);
 * console.log(best?.label, best?.probability);
 * ```
 *
 * @param model - a model folder or weight file as {@link readModel} takes it; a published one by OpenAI's name ("ViT-B/32") or
 *   its repository on Hugging Face's hub ("openai/clip-vit-base-patch32"), which is fetched once; or "pictograms", which comes with this
 *   package and knows drawings, not photos. Default: `defaultModel`, a ViT-B/32 for photos: the first call fetches 605 MB
 *   into the cache of Hugging Face's libraries (`onFetch`, `onProgress`). In a page there is no default.
 * @throws {ClipError} as {@link readModel} and {@link resolveModel} do.
 */
export async function loadClip(model?: string, options: LoadOptions = {}): Promise<ClipModel> {
  if (model !== undefined) checkKind("loadClip: the model", model, text);
  checkOptions("loadClip", options, loadKinds);
  const path = await resolveModel(model, pickOptions(options, resolveKinds));
  const stored = await readModel(path, pickOptions(options, readModelKinds));
  return new ClipModel(stored, pickOptions(options, encoderKinds));
}

/** A {@link ClipEncoder} that names what it sees. */
export class ClipModel extends ClipEncoder {
  /** By labels and options, the one not used for longest first. */
  readonly #classifiers = new Map<string, Promise<ZeroShotClassifier>>();

  /**
   * The labels of an image, best first. The vectors of the labels are kept, so that the next image with the same ones
   * costs only itself.
   *
   * @param labels - what each class is called: one name, or several names.
   *
   * @throws {ClipError} `CLIP_IMAGE` if the image cannot be read; `CLIP_USAGE` and `CLIP_TEXT` as
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
