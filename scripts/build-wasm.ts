/** Compiles src/optimize/adamw.wat into src/optimize/adamw-wasm.ts. Run with `npm run wasm` after a change. */
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

const folder = new URL("../src/optimize/", import.meta.url);
const compiler = await wabt();
const module = compiler.parseWat("adamw.wat", readFileSync(new URL("adamw.wat", folder), "utf8"), { simd: true });
const { buffer } = module.toBinary({});
const base64 = Buffer.from(buffer).toString("base64");
writeFileSync(
  new URL("adamw-wasm.ts", folder),
  `/** adamw.wat, compiled; made by \`npm run wasm\`. */\nexport const adamwWasm =\n  "${base64}";\n`,
);
