import { fileURLToPath } from "node:url";

export default {
  publicDir: fileURLToPath(new URL("../../assets", import.meta.url)),
  // Its workers and WebAssembly lie beside its modules, where they are looked for.
  optimizeDeps: { exclude: ["clip-ts", "onnxruntime-web", "@jsquash/png", "@jsquash/jpeg"] },
};
