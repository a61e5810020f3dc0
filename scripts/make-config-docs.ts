// Writes docs/configuration.md from the schema of a training run and its comments: npx tsx scripts/make-config-docs.ts
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import prettier from "prettier";
import ts from "typescript";
import { z } from "zod";
import { trainConfigSchema } from "../src/learning/train/config.ts";

/** The part of JSON Schema that the schema of a run is made of. */
interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const page = new URL("../docs/configuration.md", import.meta.url);
const module = new URL("../src/learning/train/config.ts", import.meta.url);

/** Every key of a run's configuration, as a page. */
export async function configReference(): Promise<string> {
  const { properties } = z.toJSONSchema(trainConfigSchema, { unrepresentable: "any" }) as Schema;
  const comments = commentsOf(
    ts.createSourceFile("config.ts", readFileSync(module, "utf8"), ts.ScriptTarget.Latest, true),
  );
  const rows = Object.entries(properties!).map(([key, schema]) => {
    const comment = comments.get(key);
    if (comment === undefined) throw new Error(`${key} has no comment in src/learning/train/config.ts`);
    const cells = [`\`${key}\``, defaultOf(schema), valuesOf(schema), comment];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const table = ["| key | default | values | what it says |", "| --- | --- | --- | --- |", ...rows].join("\n");
  const augment = `\`augment\` is by default\n\n\`\`\`json\n${JSON.stringify(properties!["augment"]!.default)}\n\`\`\``;
  const options = await prettier.resolveConfig(page);
  return prettier.format(`${introduction}\n${table}\n\n${augment}\n`, { ...options, parser: "markdown" });
}

const introduction = `# The configuration of a training run

Made from the schema in \`src/learning/train/config.ts\` by \`npx tsx scripts/make-config-docs.ts\`. What the keys are for, and which go together:
[training.md](training.md); where pairs come from: [data.md](data.md).

A JSON file, for \`clip-ts train\`; \`train()\` takes the same as an object. Paths are relative to the file. \`train\`, \`batchSize\`, \`steps\`,
\`learningRate\`, and one of \`model\` and \`init\` have to be there. A key that is unknown is an error, with the one that was probably meant.
`;

/** What stands before each key of the schema, or before the constant that it is taken from. */
function commentsOf(source: ts.SourceFile): Map<string, string> {
  const comments = new Map<string, string>();
  const note = (name: string, node: ts.Node) => {
    const [doc] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
    const text = doc && ts.getTextOfJSDocComment(doc.comment);
    if (text !== undefined && !comments.has(name)) comments.set(name, text.replaceAll(/\s+/g, " "));
  };
  const visit = (node: ts.Node): void => {
    if (ts.isVariableStatement(node)) note(node.declarationList.declarations[0]!.name.getText(), node);
    if (ts.isPropertyAssignment(node)) note(node.name.getText(), node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return comments;
}

function defaultOf({ default: value }: Schema): string {
  if (value === undefined) return "";
  return typeof value === "object" && !Array.isArray(value) ? "see below" : `\`${JSON.stringify(value)}\``;
}

/** Which values a key takes, in words. */
function valuesOf(schema: Schema): string {
  if (schema.enum)
    return schema.enum.length > 8 ? "a name" : schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(valuesOf))].join(", or ");
  if (schema.type === "array") return `a list: ${valuesOf(schema.items!)}`;
  if (schema.type === "object") {
    const keys = Object.keys(schema.properties ?? {});
    return keys.length === 0 ? "an object" : `an object with ${keys.map((key) => `\`${key}\``).join(", ")}`;
  }
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type === "string") return "a string";
  return `${schema.type === "integer" ? "a whole number" : "a number"}${boundsOf(schema)}`;
}

function boundsOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Schema): string {
  const largest = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? undefined : `at most ${maximum}`;
  const bounds = [
    exclusiveMinimum === undefined ? undefined : `above ${exclusiveMinimum}`,
    minimum === undefined ? undefined : `from ${minimum}`,
    exclusiveMaximum === undefined ? undefined : `below ${exclusiveMaximum}`,
    largest,
  ].filter((bound) => bound !== undefined);
  return bounds.length === 0 ? "" : `, ${bounds.join(", ")}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(page, await configReference());
