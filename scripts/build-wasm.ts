/** Compiles each kernel in src (`.wat`) into the module beside it (`-wasm.ts`). Run with `npm run wasm` after a change. */
import { writeFileSync } from "node:fs";
import { compileWat, kernels } from "./compile-wat.ts";

for (const kernel of kernels) writeFileSync(kernel.module, await compileWat(kernel));
