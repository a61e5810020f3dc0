import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { type Diagnosis, Doctor, doctorWindow, type Finding, type Observation, shareRepeated } from "./doctor.ts";

const batchSize = 64;
const patient = { chanceLoss: Math.log(batchSize), warmupSteps: 20, maxLogitScale: Math.log(100), areClasses: false };

/** A run that learns: the loss falls from chance, everything else is as it should be. */
function healthy(step: number, random: Random): Observation {
  return {
    step,
    loss: Math.log(batchSize) * Math.exp(-step / 200) * (1 + 0.02 * random.normal()),
    gradientNorm: 1 + 0.2 * Math.abs(random.normal()),
    logitScale: 2.66 + step / 1000,
    imageSpread: 0.7,
    textSpread: 0.6,
    repeatedCaptions: 0.05,
    waitShare: 0.02,
  };
}

/** What the doctor says of a run of 8 windows, some of whose steps are changed. */
function examine(change: (step: number, observation: Observation) => Partial<Observation> = () => ({})): Finding[] {
  const random = new Random(1);
  const doctor = new Doctor(patient);
  return Array.from({ length: 8 * doctorWindow }, (_, i) => healthy(i + 1, random)).flatMap((observation) =>
    doctor.observe({ ...observation, ...change(observation.step, observation) }),
  );
}

const kinds = (findings: readonly Finding[]) => findings.map(({ diagnosis }) => diagnosis);

type Change = Parameters<typeof examine>[0];

/** For each diagnosis a run that has it, and one that comes near without having it. */
const cases: Readonly<Record<Diagnosis, readonly [ill: Change, well: Change]>> = {
  chance: [
    () => ({ loss: patient.chanceLoss * 1.005 }),
    (step: number) => (step <= 150 ? { loss: patient.chanceLoss } : {}),
  ],
  learningRate: [
    (step: number) => (step > 300 ? { loss: 3.5 } : {}),
    // Noise around a loss that stands still.
    (step: number) => (step > 200 ? { loss: step % 2 ? 1.5 : 1.6 } : {}),
  ],
  gradientSpikes: [
    (step: number) => (step > 200 && step % 10 === 0 ? { gradientNorm: 40 } : {}),
    (step: number) => (step === 220 ? { gradientNorm: 400 } : {}),
  ],
  deadImageTower: [
    (step: number) => (step > 200 ? { imageSpread: 1e-5 } : {}),
    (step: number) => (step % 10 ? { imageSpread: 1e-5 } : {}),
  ],
  deadTextTower: [(step: number) => (step > 200 ? { textSpread: 1e-5 } : {}), () => ({ textSpread: 0.01 })],
  logitScale: [
    (step: number) => (step > 200 ? { logitScale: patient.maxLogitScale } : {}),
    () => ({ logitScale: patient.maxLogitScale - 0.01 }),
  ],
  repeatedCaptions: [() => ({ repeatedCaptions: 0.5 }), () => ({ repeatedCaptions: 0.2 })],
  starvation: [() => ({ waitShare: 0.5 }), (step: number) => (step % 50 === 1 ? { waitShare: 0.9 } : {})],
};

describe("the doctor", () => {
  it("finds nothing in a run that learns", () => expect(examine()).toEqual([]));

  it.each(Object.entries(cases))(
    "finds %s once, says what to try, and does not where there is none",
    (diagnosis, [ill, well]) => {
      const [finding, ...others] = examine(ill);
      expect(others).toEqual([]);
      expect(finding).toMatchObject({ diagnosis });
      expect(finding!.text.length).toBeGreaterThan(80);
      expect(kinds(examine(well))).toEqual([]);
    },
  );

  it("says it again when it comes back", () => {
    const found = examine((step) => (step <= 100 || step > 300 ? { waitShare: 0.5 } : {}));
    expect(found.map(({ diagnosis, step }) => [diagnosis, step])).toEqual([
      ["starvation", 50],
      ["starvation", 350],
    ]);
  });

  it("does not call a loss of next to nothing risen", () => {
    const nearZero = (step: number) => ({ loss: step <= 100 ? 0.003 : 0.0045 });
    expect(kinds(examine(nearZero))).toEqual([]);
  });

  it("takes repeated captions for right where they are of classes", () => {
    const doctor = new Doctor({ ...patient, areClasses: true });
    const random = new Random(1);
    const steps = Array.from({ length: 400 }, (_, i) => ({ ...healthy(i + 1, random), repeatedCaptions: 1 }));
    expect(steps.flatMap((step) => doctor.observe(step))).toEqual([]);
  });

  it("judges a run that ends before the first window by its second half, if it has ten steps", () => {
    const random = new Random(1);
    const end = (steps: number, change: (step: number) => Partial<Observation>) => {
      const doctor = new Doctor(patient);
      for (let step = 1; step <= steps; step++) doctor.observe({ ...healthy(step, random), ...change(step) });
      return doctor.end().map(({ diagnosis, step }) => [diagnosis, step]);
    };
    const dies = (step: number) => (step > 4 ? { loss: patient.chanceLoss, textSpread: 1e-6 } : {});
    expect(end(10, dies)).toEqual([["deadTextTower", 10]]);
    expect(end(9, dies)).toEqual([]);
    expect(end(doctorWindow, () => ({ textSpread: 1e-6 }))).toEqual([]);
    // What is at chance after so few steps may yet learn.
    expect(end(20, () => ({ loss: patient.chanceLoss }))).toEqual([]);
  });

  it("waits for the warm-up before it calls a loss chance", () => {
    const doctor = new Doctor({ ...patient, warmupSteps: 500 });
    const random = new Random(1);
    const found = Array.from({ length: 550 }, (_, i) => ({
      ...healthy(i + 1, random),
      loss: patient.chanceLoss,
    })).flatMap((step) => doctor.observe(step));
    expect(found.map(({ diagnosis, step }) => [diagnosis, step])).toEqual([["chance", 550]]);
  });
});

it("shareRepeated counts those that are not alone", () => {
  expect(shareRepeated(Int32Array.of(0, 1, 0, 3))).toBe(0.5);
  expect(shareRepeated(Int32Array.of(0, 1, 2, 3))).toBe(0);
});
