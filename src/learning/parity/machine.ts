import { arch, cpus, platform } from "node:os";
import { onnxRuntimeVersion } from "../../engine/runtime/version.ts";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly system: string;
  readonly node: string;
  readonly onnxRuntime: string;
}

export function thisMachine(): Machine {
  const cores = cpus();
  return {
    processor: cores[0]?.model.trim() ?? "unknown processor", // some systems hide it
    cores: cores.length,
    system: `${platform()} ${arch()}`,
    node: process.version.slice(1),
    onnxRuntime: onnxRuntimeVersion(),
  };
}
