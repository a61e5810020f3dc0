import type { DecoderConfig } from "../../../model/towers/config.ts";

/**
 * Training with a synthetic caption of each image beside the one from the web (CLIPS, Liu et al. 2024): images are to find both
 * their caption and a sentence of the synthetic one, and a decoder learns to write all of that.
 */
export interface SyntheticCaptionsObjective {
  /** How much writing counts beside finding; with 0 there is no decoder. */
  readonly decoderWeight: number;
  /** Tokens of a synthetic caption that the decoder is to write, with the mark at its end; longer ones are cut. */
  readonly captionLength: number;
}

/** What a sample's synthetic caption gives for a step. */
export interface SyntheticDraw {
  /** One of its sentences. */
  readonly sentence: string;
  /** All of it. */
  readonly whole: string;
}

/** The decoder that an objective trains, if there is one. */
export function decoderOf(objective: SyntheticCaptionsObjective | undefined): DecoderConfig | undefined {
  return objective && objective.decoderWeight > 0 ? { length: objective.captionLength } : undefined;
}

/** The pieces of a synthetic caption, of which one is drawn: what stands between full stops and exclamation marks. */
export function subCaptions(text: string): string[] {
  return text
    .split(/[.!]+/)
    .map((piece) => piece.trim())
    .filter((piece) => piece !== "");
}
