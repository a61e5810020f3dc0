import { readFileSync } from "node:fs";
import wabt from "wabt";

/** A program in WebAssembly's text format, and the TypeScript module that holds it compiled. */
export interface Kernel {
  readonly name: string;
  readonly source: URL;
  readonly module: URL;
}

export const kernels: readonly Kernel[] = ["engine/optimize/adamw", "inputs/image/weigh-rows"].map((path) => ({
  name: path.replace(/.*\//, ""),
  source: new URL(`../src/${path}.wat`, import.meta.url),
  module: new URL(`../src/${path}-wasm.ts`, import.meta.url),
}));

/** The text of the kernel's module. */
export async function compileWat({ name, source }: Kernel): Promise<string> {
  const compiler = await wabt();
  const parsed = compiler.parseWat(`${name}.wat`, readFileSync(source, "utf8"), { simd: true });
  const base64 = Buffer.from(parsed.toBinary({}).buffer).toString("base64");
  const constant = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return `/** ${name}.wat, compiled; made by \`npm run wasm\`. */\nexport const ${constant}Wasm =\n  "${base64}";\n`;
}
