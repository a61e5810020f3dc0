import { defineConfig } from "vitest/config";

// For the tests that load ONNX Runtime or transformers.js without this library; the processes of the tests inherit it.
process.env["ORT_DISABLE_TELEMETRY"] ??= "1";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    testTimeout: 60_000,
    // onnxruntime-node refuses typed arrays of another realm, so never the vm pools.
    pool: "forks",
    maxWorkers: 2,
  },
});
