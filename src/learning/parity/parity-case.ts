/** A comparison with values recorded elsewhere. */
export interface Comparison {
  /** Compared values, and metric. */
  readonly compared: string;
  /** Difference between computed and recorded values; NaN if a computed one is. */
  readonly delta: number;
  /** Largest delta allowed. */
  readonly tolerance: number;
  /** Item with the largest delta, if there are several. */
  readonly worst?: string | undefined;
}

/** A case to compare, or one that is skipped with a reason. */
export type ParityCase = {
  readonly name: string;
  /** Origin of the recorded values. */
  readonly source: string;
  /** Name or path of the published model. */
  readonly model?: string;
} & (
  | { readonly skipped: string }
  | {
      /** Required files in the data folder. */
      readonly needs?: () => Promise<readonly string[]>;
      /**
       * @param data - folder of the images, for cases that need files in it.
       * @throws {ClipError} if the values cannot be computed.
       */
      readonly compare: (data: string) => Promise<readonly Comparison[]>;
    }
);
