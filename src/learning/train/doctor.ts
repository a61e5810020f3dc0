/** What one step shows of how a run is doing. */
export interface Observation {
  /** Updates made, this one included. */
  readonly step: number;
  /** In nats. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  /** The logarithm, at most ln 100. */
  readonly logitScale: number;
  /** How far the batch's unit vectors are from being one, in [0, 1]: 1 − ‖their mean‖². */
  readonly imageSpread: number;
  readonly textSpread: number;
  /** Share of the batch's pairs whose caption another pair of it has too. */
  readonly repeatedCaptions: number;
  /** Share of the step in which it waited for data. */
  readonly waitShare: number;
}

/** What the doctor knows of a run beside its steps. */
export interface Patient {
  /** The loss of a model that tells nothing apart: ln(batchSize) with softmaxes. */
  readonly chanceLoss: number;
  readonly warmupSteps: number;
  /** The largest logitScale that is allowed. */
  readonly maxLogitScale: number;
  /** Whether captions are sentences about a few classes, and repeat as they should. */
  readonly areClasses: boolean;
}

/** What may be wrong with a run. */
export type Diagnosis =
  | "chance"
  | "learningRate"
  | "gradientSpikes"
  | "deadImageTower"
  | "deadTextTower"
  | "logitScale"
  | "repeatedCaptions"
  | "starvation";

/** A diagnosis in plain words. */
export interface Finding {
  readonly diagnosis: Diagnosis;
  /** The step at which it was made. */
  readonly step: number;
  /** What is seen, with the numbers, and what to try. */
  readonly text: string;
}

/** Steps that a diagnosis looks back on. */
export const doctorWindow = 50;

/** A run of fewer steps than a window is judged if it has so many. */
const fewestSteps = 10;

/** A loss that is not under chance by this share of it is no better than chance; what rises by less has not risen. */
const chanceMargin = 0.02;
/** Every model begins at chance: it is given so many windows behind the warm-up. */
const chanceWindows = 4;
/** A loss this much above the lowest of any window before has risen. */
const risenShare = 1.25;
/** A gradient this many times the median is a spike; a window with so many is no accident. */
const spikeSize = 10;
const manySpikes = 3;
/** Under this all vectors are one; a random tower begins well above it. */
const deadSpread = 1e-3;
/** From this on captions compete with themselves often. */
const manyRepeated = 0.25;
/** From this on the run spends its time on waiting. */
const longWait = 0.3;

/** A window of steps, and the lowest median loss of the windows before. */
interface Window {
  readonly steps: readonly Observation[];
  readonly windows: number;
  readonly lowestLoss: number;
  readonly patient: Patient;
}

/** Table: what may be wrong → how it shows, or undefined where it does not. */
const diagnoses: Readonly<Record<Diagnosis, (window: Window) => string | undefined>> = {
  chance: ({ steps, windows, patient: { chanceLoss, warmupSteps } }) => {
    const loss = median(steps.map((step) => step.loss));
    const isEarly = windows < chanceWindows || steps[0]!.step <= warmupSteps;
    if (isEarly || loss < (1 - chanceMargin) * chanceLoss) return undefined;
    return (
      `the loss is ${loss.toFixed(2)}, and chance is ${chanceLoss.toFixed(2)} for this batch: nothing is learned. Look whether ` +
      "captions belong to their images (clip-ts data check), whether 32 pairs can be learned by heart (clip-ts train --overfit), and try a " +
      "learningRate ten times lower, then ten times higher"
    );
  },
  learningRate: ({ steps, lowestLoss, patient: { chanceLoss } }) => {
    const loss = median(steps.map((step) => step.loss));
    // What was learned by heart may waver by a multiple of next to nothing.
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
      "learns from most. More or other data, augment, or a larger weightDecay; at the end of a long run it is usual"
    );
  },
  repeatedCaptions: ({ steps, patient: { areClasses } }) => {
    const share = mean(steps.map((step) => step.repeatedCaptions));
    if (areClasses || share < manyRepeated) return undefined;
    return (
      `${percent(share)} of the pairs of a batch share their caption with another: they are right for each other, and there is little to ` +
      "tell apart. A smaller batchSize, or captions that say more"
    );
  },
  starvation: ({ steps }) => {
    const share = mean(steps.map((step) => step.waitShare));
    if (share < longWait) return undefined;
    return (
      `${percent(share)} of the time is spent waiting for images. Set workers higher, store the images nearer to the size that is trained ` +
      "(clip-ts data pack), or on a faster disk"
    );
  },
};

function deadTower({ steps }: Window, what: string, spread: "imageSpread" | "textSpread"): string | undefined {
  const largest = Math.max(...steps.map((step) => step[spread]));
  if (!(largest < deadSpread)) return undefined;
  return (
    `all ${what} get nearly the same vector (spread ${short(largest)}): this tower has died. Start anew with a lower learningRate ` +
    "and a longer warmupSteps"
  );
}

/**
 * Watches a run and says in plain words what seems to be wrong, and what to try. Each diagnosis is made once, and again only after a
 * window of steps that did not show it.
 */
export class Doctor {
  readonly #patient: Patient;
  readonly #steps: Observation[] = [];
  readonly #standing = new Set<Diagnosis>();
  #windows = 0;
  #lowestLoss = Infinity;

  constructor(patient: Patient) {
    this.#patient = patient;
  }

  /** Takes note of a step, and gives what is new; nothing but at the end of a window. */
  observe(observation: Observation): Finding[] {
    this.#steps.push(observation);
    if (this.#steps.length < doctorWindow) return [];
    const steps = this.#steps.splice(0);
    const window = { steps, windows: this.#windows++, lowestLoss: this.#lowestLoss, patient: this.#patient };
    this.#lowestLoss = Math.min(this.#lowestLoss, median(steps.map(({ loss }) => loss)));
    return this.#judge(window, Object.keys(diagnoses) as Diagnosis[]);
  }

  /** Judges a run that has ended before its first window, by its second half: whether a tower has died. The rest takes longer to tell. */
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

/** Share of the entries that another one equals. */
export function shareRepeated(groups: Int32Array): number {
  const counts = new Map<number, number>();
  for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1);
  return groups.filter((group) => counts.get(group)! > 1).length / groups.length;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const short = (value: number) => value.toPrecision(2);
