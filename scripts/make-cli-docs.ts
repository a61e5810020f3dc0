// Writes docs/cli.md from the commands themselves: npx tsx scripts/make-cli-docs.ts
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { allCommands, buildProgram, fullName } from "../src/interfaces/cli/program.ts";

/** The reference of the command line, as Markdown: what `--help` prints, command by command. */
export async function cliReference(): Promise<string> {
  const printed: string[] = [];
  const program = await buildProgram({
    out: (text) => void printed.push(text),
    err: () => {},
    progress: () => {},
    readInput: () => Promise.resolve(""),
    readInputBytes: () => Promise.resolve(new Uint8Array()),
    columns: 100,
    colour: false,
    debug: false,
    signal: new AbortController().signal,
  });
  const sections = allCommands(program).map((command) => {
    printed.length = 0;
    command.outputHelp();
    return `## ${fullName(command)}\n\n\`\`\`text\n${printed.join("\n")}\n\`\`\`\n`;
  });
  return [introduction, ...sections].join("\n");
}

const introduction = `# The command line

Made from the commands by \`npx tsx scripts/make-cli-docs.ts\`.

Results go to the standard output, everything else to the standard error. Exit codes: 0 done, 1 failed, 2 misused,
130 stopped by Ctrl-C
(SIGINT), 143 stopped by SIGTERM. \`NO_COLOR\` switches colours off; \`DEBUG=1\` shows where an error came from.
`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(new URL("../docs/cli.md", import.meta.url), await cliReference());
