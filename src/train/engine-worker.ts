import { alone, type Group, joinGroup } from "../distributed/index.ts";
import { Moved, serve } from "../runtime/serve.ts";
import { type EngineOptions, type EngineState, type PairTensors, type StepResult, TrainEngine } from "./engine.ts";

let engine: TrainEngine;
let group: Group = alone;

const methods = {
  async join(): Promise<Pick<Group, "rank" | "size">> {
    group = await joinGroup();
    const { rank, size } = group;
    return { rank, size };
  },
  exchange: (text: string): string[] => group.exchange(text),
  abort: (message: string): void => group.abort(message),
  leave: (): void => group.leave(),
  async create(options: EngineOptions, parameters: Map<string, Float32Array>): Promise<void> {
    engine = await TrainEngine.create(options, parameters, group);
  },
  startAsFirst: (steps: number): Promise<void> => engine.startAsFirst(steps),
  checksum: (): string => engine.checksum(),
  step: (batch: PairTensors, learningRate: number): Promise<StepResult> => engine.step(batch, learningRate),
  async encodeImages(pixelValues: Float32Array): Promise<Moved<Float32Array>> {
    const features = await engine.encodeImages(pixelValues);
    return new Moved(features, [features]);
  },
  async encodeTexts(inputIds: Int32Array, endOfText: Int32Array): Promise<Moved<Float32Array>> {
    const features = await engine.encodeTexts(inputIds, endOfText);
    return new Moved(features, [features]);
  },
  async state(): Promise<Moved<EngineState>> {
    const state = await engine.state();
    const moments = [...state.moments.values()].flatMap(({ first, second }) => [first, second]);
    return new Moved(state, [...state.parameters.values(), ...moments, ...(state.average?.values() ?? [])]);
  },
  restore: (state: EngineState): Promise<void> => engine.restore(state),
};

/** The calls that the training thread answers. */
export type EngineMethods = typeof methods;

serve(methods);
