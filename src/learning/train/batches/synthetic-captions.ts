import type { DecoderConfig } from "../../../model/towers/config.ts";

/**
 * Training with a synthetic caption of each image beside its own (CLIPS, Liu et al. 2024): images must find both their caption and
 * a sentence of the synthetic one, and a decoder learns to write the whole synthetic caption.
 */
export interface SyntheticCaptionsObjective {
  /** Weight of the decoder's loss; 0 means no decoder. */
  readonly decoderWeight: number;
  /** Tokens that the decoder writes, end token included; longer synthetic captions are truncated. */
  readonly captionLength: number;
}

/** A draw from a sample's synthetic caption. */
export interface SyntheticDraw {
  readonly sentence: string;
  readonly whole: string;
}

/** The decoder of an objective, if it has one. */
export function decoderOf(objective: SyntheticCaptionsObjective | undefined): DecoderConfig | undefined {
  return objective && objective.decoderWeight > 0 ? { length: objective.captionLength } : undefined;
}

/** The sentences of a synthetic caption, split at full stops and exclamation marks. */
export function subCaptions(text: string): string[] {
  return text
    .split(/[.!]+/)
    .map((piece) => piece.trim())
    .filter((piece) => piece !== "");
}
