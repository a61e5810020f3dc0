import { defineConfig } from "vitest/config";

// For the tests that load ONNX Runtime or transformers.js without this library; the processes of the tests inherit it.
process.env["ORT_DISABLE_TELEMETRY"] ??= "1";

/** In milliseconds. */
const patience = 20 * 60_000;

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    // A limit is for what hangs: on a machine with other work everything may take twenty times as long.
    testTimeout: patience,
    hookTimeout: patience,
    teardownTimeout: patience,
    expect: { poll: { timeout: patience } },
    // onnxruntime-node refuses typed arrays of another realm, so never the vm pools.
    pool: "forks",
    maxWorkers: 2,
  },
});
