import { ClipError } from "../../core/errors.ts";
import { basename, dirname } from "../../core/files.ts";
import type { Locate } from "./lowering.ts";

/** Weights in files of one folder, in which ONNX Runtime looks for them by their names. */
export class WeightFolder {
  /** Undefined as long as nothing lies there. */
  path: string | undefined;

  /** @throws {ClipError} `CLIP_CHECKPOINT` if it lies in another folder than those before. */
  readonly locate: Locate = (place, dtype) => {
    const folder = dirname(place.file);
    this.path ??= folder;
    if (this.path !== folder) {
      throw new ClipError(
        "CLIP_CHECKPOINT",
        `weights lie in two folders, ${this.path} and ${folder}; put their files into one`,
      );
    }
    return { place: { ...place, file: basename(place.file) }, dtype };
  };
}
