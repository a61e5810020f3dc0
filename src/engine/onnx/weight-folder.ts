import { ClipError } from "../../core/errors.ts";
import { basename, dirname } from "../../core/files.ts";
import type { Locate } from "./lowering.ts";

/** The one folder that holds a program's weight files, which ONNX Runtime finds by name. */
export class WeightFolder {
  /** Undefined until a tensor is located. */
  path: string | undefined;

  /** @throws {ClipError} `CLIP_CHECKPOINT` if a tensor is in another folder than those before. */
  readonly locate: Locate = (place, dtype) => {
    const folder = dirname(place.file);
    this.path ??= folder;
    if (this.path !== folder) {
      throw new ClipError(
        "CLIP_CHECKPOINT",
        `weights are in two folders, ${this.path} and ${folder}; move the files into one`,
      );
    }
    return { place: { ...place, file: basename(place.file) }, dtype };
  };
}
