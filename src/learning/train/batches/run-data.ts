import { pickOptions } from "../../../core/options.ts";
import type { SyntheticCaptionsObjective } from "./synthetic-captions.ts";
import { holdOut } from "./hold-out.ts";
import { readPairs, readSources, type PairSource } from "../../../inputs/data/pairs.ts";
import { type Pairs, sourceKinds, type SourceOptions } from "../../../inputs/data/sources/samples.ts";

/** The data of a run's configuration. */
interface RunDataConfig {
  readonly train: string | readonly PairSource[];
  readonly validation?: string | PairSource | undefined;
  readonly validationShare?: number | undefined;
  readonly seed: number;
  readonly objective?: SyntheticCaptionsObjective | undefined;
}

/** The training and validation pairs of a run. */
export interface RunData {
  readonly pairs: Pairs;
  /** `areClasses`: the captions are templates filled with class labels. */
  readonly validation: (Pairs & { readonly areClasses: boolean }) | undefined;
}

/**
 * Reads the pairs of a run and its validation pairs, or holds some out.
 *
 * @param run - its options for reading are defaults for all sources.
 * @throws {ClipError} as `readPairs` and {@link holdOut}.
 */
export async function readRunData(
  run: RunDataConfig & SourceOptions,
  watching: Pick<SourceOptions, "signal" | "onProgress">,
): Promise<RunData> {
  const { train, validation, validationShare, seed, objective } = run;
  const common: SourceOptions = { ...pickOptions<SourceOptions>(run, sourceKinds), ...watching };
  const read = await readSources(train, { ...common, synthetic: objective !== undefined });
  if (validationShare !== undefined) {
    const { train: pairs, heldOut } = holdOut(read, validationShare, seed);
    return { pairs, validation: { samples: heldOut, skipped: [], areClasses: areOfClasses(train, common) } };
  }
  if (validation === undefined) return { pairs: read, validation: undefined };
  const { source, ...own } = typeof validation === "string" ? { source: validation } : validation;
  const pairs = await readPairs(source, { ...common, ...pickOptions<SourceOptions>(own, sourceKinds) });
  return { pairs: read, validation: { ...pairs, areClasses: areOfClasses([{ source, ...own }], common) } };
}

/** Whether the captions of all sources are templates filled with class labels. */
export function areOfClasses(
  sources: string | readonly PairSource[],
  common: Pick<SourceOptions, "classTemplates">,
): boolean {
  if (typeof sources === "string") return common.classTemplates !== undefined;
  return sources.every(({ classTemplates = common.classTemplates }) => classTemplates !== undefined);
}
