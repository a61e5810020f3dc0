/** One measured comparison with numbers that were recorded elsewhere. */
export interface Comparison {
  /** What of, and by which measure. */
  readonly compared: string;
  /** How far ours are from them; NaN if ours are no numbers. */
  readonly delta: number;
  /** What that may be. */
  readonly tolerance: number;
  /** Where it was largest, if there are several places. */
  readonly worst?: string | undefined;
}

/** Something that was recorded elsewhere, and can be computed here unless it says why not. */
export type ParityCase = {
  readonly name: string;
  /** Who has recorded the numbers. */
  readonly source: string;
  /** The published model whose outputs they are, by a name or path. */
  readonly model?: string;
} & (
  | { readonly skipped: string }
  | {
      /** Files in the folder of the images without which it cannot run. */
      readonly needs?: () => Promise<readonly string[]>;
      /**
       * @param data - the folder of the images, which are no part of this package; read by cases that need files in it.
       * @throws {ClipError} if the numbers could not be computed.
       */
      readonly compare: (data: string) => Promise<readonly Comparison[]>;
    }
);
