// Writes docs/cli.md from the commands themselves: npx tsx scripts/make-cli-docs.ts
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { allCommands, buildProgram, fullName } from "../src/interfaces/cli/program.ts";

/** All commands that run, without those that only group others. */
export async function runnableCommands(out: (text: string) => void = () => {}): Promise<CommandUnknownOpts[]> {
  const program = await buildProgram({
    out,
    err: () => {},
    progress: () => {},
    readInput: () => Promise.resolve(""),
    readInputBytes: () => Promise.resolve(new Uint8Array()),
    columns: 100,
    colour: false,
    debug: false,
    signal: new AbortController().signal,
  });
  return allCommands(program).filter(({ commands }) => commands.length === 0);
}

/** The reference of the command line as Markdown: shared options, and the help of each command. */
export async function cliReference(): Promise<string> {
  const printed: string[] = [];
  const commands = await runnableCommands((text) => void printed.push(text));
  const sections = commands.map((command) => {
    printed.length = 0;
    command.outputHelp();
    return `## ${fullName(command)}\n\n\`\`\`text\n${printed.join("\n")}\n\`\`\`\n`;
  });
  return [introduction, optionTable(commands), ...sections].join("\n");
}

/** A table of the options that several commands have. */
function optionTable(commands: readonly CommandUnknownOpts[]): string {
  const options = [...new Set(commands.flatMap((command) => command.options.map(({ long }) => long!)))];
  const having = (option: string) => commands.map((command) => command.options.some(({ long }) => long === option));
  const shared = options.filter((option) => having(option).filter(Boolean).length > 1);
  const rows = shared.map((option) => [`\`${option}\``, ...having(option).map((has) => (has ? "●" : ""))]);
  const head = ["", ...commands.map((command) => fullName(command).replace("clip-ts ", ""))];
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return `${[line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")}\n`;
}

const introduction = `# The command line

Made from the commands by \`npx tsx scripts/make-cli-docs.ts\`.

Results go to the standard output, everything else to the standard error. Exit codes: 0 success, 1 failure, 2 misuse,
130 stopped by Ctrl-C
(SIGINT), 143 stopped by SIGTERM. \`NO_COLOR\` turns colours off; \`DEBUG=1\` prints stack traces.

\`--json\` prints one document: \`{ "model", "data", "results", "skipped" }\`. \`model\` and \`data\` are as given or the
default, or null; \`skipped\` lists images or other items that were left out, each with its \`reason\`. Shares,
accuracies and probabilities are in [0, 1].

An option has the same meaning in every command. These are the options that several commands have:
`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(new URL("../docs/cli.md", import.meta.url), await cliReference());
