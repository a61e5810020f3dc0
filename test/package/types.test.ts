import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { emptyProject } from "./installed.ts";

const { exports } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
const entries = Object.keys(exports).filter((entry) => !/[*]|\.json$/.test(entry));
const folder = await emptyProject();
const user = join(folder, "user.mts");
const namespaces = entries.map((entry, i) => `import * as entry${i} from "${entry.replace(".", "clip-ts")}";`);
await writeFile(
  user,
  `import { loadClip, collect, dot, ClipError, type ImageSource } from "clip-ts";
${namespaces.join("\n")}
export const all = [${namespaces.map((_, i) => `entry${i}`).join(", ")}];
export async function name(image: ImageSource): Promise<string> {
  await using clip = await loadClip("a model");
  const [best] = await clip.classify(image, ["a cat", "a dog"]);
  await clip.classify(new Uint8Array(3), ["a cat"]);
  const [text] = await collect(clip.encodeTexts(["a cat"]));
  if (best === undefined || text === undefined) throw new ClipError("CLIP_TEXT", "nothing");
  return best.label + dot(text, text);
}
`,
);

// It uses `console` and `import.meta.resolve`, whose types are Node's and the DOM's.
const readme = join(folder, "readme.mts");
const [, program] = /^```ts\n(.*?)^```/ms.exec(readFileSync(new URL("../../README.md", import.meta.url), "utf8"))!;
await writeFile(readme, program!);

const { ModuleKind: Module, ModuleResolutionKind: Resolution } = ts;
const alone = { lib: ["lib.es2022.d.ts"], types: [] };
const withDom = { lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [] };
const withNode = { lib: ["lib.es2022.d.ts"], types: ["node"] };
const withNodeAndDom = { lib: withDom.lib, types: withNode.types };

describe("the types have no errors under strict settings", () => {
  it.each([
    ["nodenext", Module.NodeNext, Resolution.NodeNext, alone],
    ["node16", Module.Node16, Resolution.Node16, alone],
    ["bundler", Module.Preserve, Resolution.Bundler, alone],
    ["nodenext, with the types of the DOM", Module.NodeNext, Resolution.NodeNext, withDom],
    ["nodenext, with the types of Node", Module.NodeNext, Resolution.NodeNext, withNode],
    ["nodenext, with the types of Node and of the DOM", Module.NodeNext, Resolution.NodeNext, withNodeAndDom],
  ])(
    "with module resolution %s",
    (_, module, moduleResolution, environment) => {
      const program = ts.createProgram(environment === alone ? [user] : [user, readme], {
        ...{ module, moduleResolution, ...environment, target: ts.ScriptTarget.ES2022 },
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true },
        // Those of this repository; an empty project has none.
        typeRoots:
          environment.types.length === 0 ? [] : [fileURLToPath(new URL("../../node_modules/@types", import.meta.url))],
        skipLibCheck: false,
      });
      const found = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
        return `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
      });
      expect(found).toEqual([]);
      const names = program.getSourceFiles().map(({ fileName }) => fileName);
      expect(names.filter((name) => name.includes("/dist/")).length).toBeGreaterThan(100);
    },
    240_000,
  );
});
