import { ClipEncoder, collect, type EncoderOptions } from "../embedding/encoder.ts";
import type { ReadModelOptions } from "../embedding/model-files.ts";
import { readModel } from "../embedding/model-folder.ts";
import { resolveModel, type ResolveOptions } from "../hub/resolve.ts";
import type { DecodeOptions, ImageSource } from "../image/index.ts";
import { type ClassifierOptions, type RankedLabel, ZeroShotClassifier } from "./classifier.ts";
import type { ClassLabel } from "./prompts.ts";

/** How many sets of labels a model remembers the vectors of. */
const maxClassifiers = 8;

/** What `classify` takes beside picture and labels. */
export interface ClassifyOptions extends Omit<ClassifierOptions, "signal" | "onEqualLabels">, DecodeOptions {
  /** How many labels to give back; default all. */
  readonly topK?: number | undefined;
}

/** How a model is found and read. */
export interface LoadOptions extends ReadModelOptions, ResolveOptions, EncoderOptions {}

/**
 * A CLIP, ready to use.
 *
 * @param model - a model folder or weight file as {@link readModel} takes it; a published one by OpenAI's name ("ViT-B/32") or
 *   its repository on Hugging Face's hub ("openai/clip-vit-base-patch32"), which is fetched once; default: the model in the box.
 * @throws {ClipError} as {@link readModel} and {@link resolveModel} do.
 */
export async function loadClip(model?: string, options: LoadOptions = {}): Promise<ClipModel> {
  const path = model === undefined ? undefined : await resolveModel(model, options);
  return new ClipModel(await readModel(path, options), options);
}

/** A {@link ClipEncoder} that names what it sees. */
export class ClipModel extends ClipEncoder {
  /** By labels and options, the one not used for longest first. */
  readonly #classifiers = new Map<string, Promise<ZeroShotClassifier>>();

  /**
   * The labels of a picture, best first. The vectors of the labels are kept, so that the next picture with the same ones
   * costs only itself.
   *
   * @param labels - what each class is called: one name, or several names.
   *
   * @throws {ClipError} `CLIP_IMAGE` if the picture cannot be read; `CLIP_USAGE` and `CLIP_TEXT` as
   *   {@link ZeroShotClassifier.create}.
   */
  async classify(
    image: ImageSource,
    labels: readonly ClassLabel[],
    { topK, templates, none, independent, onTruncate, ...decoding }: ClassifyOptions = {},
  ): Promise<RankedLabel[]> {
    const classifier = await this.#classifier(labels, { templates, none, independent, onTruncate });
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
