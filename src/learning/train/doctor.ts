import type { StepResult } from "./step/trainer.ts";

/** The numbers of a step that the doctor watches. */
export interface Observation extends Pick<
  StepResult,
  "loss" | "gradientNorm" | "logitScale" | "imageSpread" | "textSpread"
> {
  /** Updates made, this one included. */
  readonly step: number;
  /** Share of the batch's pairs whose caption occurs more than once in it. */
  readonly repeatedCaptions: number;
  /** Share of the step's time spent waiting for data. */
  readonly waitShare: number;
}

/** The run that a doctor watches. */
export interface Patient {
  /** The loss at chance: ln(batchSize) for CLIP's loss. */
  readonly chanceLoss: number;
  readonly warmupSteps: number;
  /** Upper bound of logitScale. */
  readonly maxLogitScale: number;
  /** Whether captions are templates filled with class labels, so that repeats are expected. */
  readonly areClasses: boolean;
}

export type Diagnosis =
  | "chance"
  | "learningRate"
  | "gradientSpikes"
  | "deadImageTower"
  | "deadTextTower"
  | "logitScale"
  | "repeatedCaptions"
  | "starvation";

export interface Finding {
  readonly diagnosis: Diagnosis;
  readonly step: number;
  /** The observation, with numbers, and what to try. */
  readonly text: string;
}

/** Steps per window: diagnoses are made at the end of one. */
export const doctorWindow = 50;

/** A run shorter than a window is judged at its end if it has this many steps. */
const fewestSteps = 10;

/** A loss less than this share below chance counts as chance; a rise by a smaller share does not count. */
const chanceMargin = 0.02;
/** Every model starts at chance, so it has this many windows after the warm-up. */
const chanceWindows = 4;
/** A loss above this multiple of the lowest earlier window has risen. */
const risenShare = 1.25;
/** A gradient norm of this many medians is a spike; a window with this many spikes is reported. */
const spikeSize = 10;
const manySpikes = 3;
/** Below this spread all vectors are nearly equal; an untrained tower is well above. */
const deadSpread = 1e-3;
/** Share of repeated captions that is reported. */
const manyRepeated = 0.25;
/** Share of waiting that is reported. */
const longWait = 0.3;

/** A window of steps, and the lowest median loss of the windows before. */
interface Window {
  readonly steps: readonly Observation[];
  readonly windows: number;
  readonly lowestLoss: number;
  readonly patient: Patient;
}

/** The text of each diagnosis for a window, or undefined where it does not apply. */
const diagnoses: Readonly<Record<Diagnosis, (window: Window) => string | undefined>> = {
  chance: ({ steps, windows, patient: { chanceLoss, warmupSteps } }) => {
    const loss = medianLoss(steps);
    const isEarly = windows < chanceWindows || steps[0]!.step <= warmupSteps;
    if (isEarly || loss < (1 - chanceMargin) * chanceLoss) return undefined;
    return (
      `the loss is ${loss.toFixed(2)}, and chance is ${chanceLoss.toFixed(2)} for this batch: the model learns nothing. Check that ` +
      "captions belong to their images (clip-ts data check) and that it can memorize 32 pairs (clip-ts train --overfit); try a " +
      "learningRate ten times lower, then ten times higher"
    );
  },
  learningRate: ({ steps, lowestLoss, patient: { chanceLoss } }) => {
    const loss = medianLoss(steps);
    // Near 0, the loss of memorized pairs may rise by a large factor.
    if (!(loss > risenShare * lowestLoss && loss - lowestLoss > chanceMargin * chanceLoss)) return undefined;
    return (
      `the loss has risen to ${loss.toFixed(2)}, and was ${lowestLoss.toFixed(2)}: the learning rate is likely too high. Try half of ` +
      `learningRate, a longer warmupSteps, or gradClipNorm 1`
    );
  },
  gradientSpikes: ({ steps }) => {
    const usual = median(steps.map((step) => step.gradientNorm));
    const spikes = steps.filter((step) => step.gradientNorm > spikeSize * usual);
    if (spikes.length < manySpikes) return undefined;
    const largest = Math.max(...spikes.map((step) => step.gradientNorm));
    return (
      `${spikes.length} of the last ${steps.length} gradients are over ${spikeSize} times the usual ${short(usual)}, up to ${short(largest)}. ` +
      "Set gradClipNorm to 1, lower beta2, or look at the images of these steps"
    );
  },
  deadImageTower: (window) => deadTower(window, "images", "imageSpread"),
  deadTextTower: (window) => deadTower(window, "captions", "textSpread"),
  logitScale: ({ steps, patient: { maxLogitScale } }) => {
    if (!steps.every((step) => step.logitScale >= maxLogitScale)) return undefined;
    return (
      `logitScale stays at its bound, a factor of ${Math.exp(maxLogitScale).toFixed(0)}: the model is sure of its training pairs and no longer ` +
      "learns from most. Use more or other data, augment, or a larger weightDecay; at the end of a long run this is normal"
    );
  },
  repeatedCaptions: ({ steps, patient: { areClasses } }) => {
    const share = mean(steps.map((step) => step.repeatedCaptions));
    if (areClasses || share < manyRepeated) return undefined;
    return (
      `${percent(share)} of the pairs of a batch share their caption with another: they match each other, so the batch has few ` +
      "negatives. Use a smaller batchSize, or more specific captions"
    );
  },
  starvation: ({ steps }) => {
    const share = mean(steps.map((step) => step.waitShare));
    if (share < longWait) return undefined;
    return (
      `${percent(share)} of the time is spent waiting for images. Raise workers, store the images closer to the training size ` +
      "(clip-ts data pack), or use a faster disk"
    );
  },
};

function deadTower({ steps }: Window, what: string, spread: "imageSpread" | "textSpread"): string | undefined {
  const largest = Math.max(...steps.map((step) => step[spread]));
  if (!(largest < deadSpread)) return undefined;
  return (
    `all ${what} get nearly the same vector (spread ${short(largest)}): this tower has died. Start again with a lower learningRate ` +
    "and a longer warmupSteps"
  );
}

/** Watches a run for typical problems. A diagnosis is reported once, and again only after a window without it. */
export class Doctor {
  readonly #patient: Patient;
  readonly #steps: Observation[] = [];
  readonly #standing = new Set<Diagnosis>();
  #windows = 0;
  #lowestLoss = Infinity;

  constructor(patient: Patient) {
    this.#patient = patient;
  }

  /** Records a step; returns new findings at the end of a window. */
  observe(observation: Observation): Finding[] {
    this.#steps.push(observation);
    if (this.#steps.length < doctorWindow) return [];
    const steps = this.#steps.splice(0);
    const window = { steps, windows: this.#windows++, lowestLoss: this.#lowestLoss, patient: this.#patient };
    this.#lowestLoss = Math.min(this.#lowestLoss, medianLoss(steps));
    return this.#judge(window, Object.keys(diagnoses) as Diagnosis[]);
  }

  /** Checks a run that ended within its first window for dead towers, in its second half; other diagnoses need more steps. */
  end(): Finding[] {
    if (this.#windows > 0 || this.#steps.length < fewestSteps) return [];
    const steps = this.#steps.slice(this.#steps.length / 2);
    const window = { steps, windows: 0, lowestLoss: Infinity, patient: this.#patient };
    return this.#judge(window, ["deadImageTower", "deadTextTower"]);
  }

  #judge(window: Window, of: readonly Diagnosis[]): Finding[] {
    return of.flatMap((diagnosis) => {
      const text = diagnoses[diagnosis](window);
      const isNew = text !== undefined && !this.#standing.has(diagnosis);
      if (text === undefined) this.#standing.delete(diagnosis);
      else this.#standing.add(diagnosis);
      return isNew ? [{ diagnosis, step: window.steps.at(-1)!.step, text }] : [];
    });
  }
}

/** Share of the entries that occur more than once. */
export function shareRepeated(groups: Int32Array): number {
  const counts = new Map<number, number>();
  for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1);
  return groups.filter((group) => counts.get(group)! > 1).length / groups.length;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const medianLoss = (steps: readonly Observation[]) => median(steps.map(({ loss }) => loss));
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const short = (value: number) => value.toPrecision(2);
