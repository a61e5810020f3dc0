import { arch, cpus, platform } from "node:os";
import { onnxRuntimeVersion } from "../../engine/runtime/version.ts";

export type Machine = Readonly<ReturnType<typeof thisMachine>>;

export function thisMachine() {
  const cores = cpus();
  return {
    processor: cores[0]?.model.trim() ?? "unknown processor", // some systems hide it
    cores: cores.length,
    system: `${platform()} ${arch()}`,
    node: process.version.slice(1),
    onnxRuntime: onnxRuntimeVersion(),
  };
}
