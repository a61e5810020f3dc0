import { readFileSync } from "node:fs";
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { ClipError } from "../../core/errors.ts";
import { packageFile } from "../../core/package-files.ts";
import type { CliIo } from "./io.ts";

/** Every command, in the order of the help. Only the one that runs is loaded; the others would take a third of the start-up time. */
const commands: Readonly<Record<string, () => Promise<(io: CliIo) => CommandUnknownOpts>>> = {
  classify: async () => (await import("./commands/classify.ts")).classifyCommand,
  index: async () => (await import("./commands/index-folders.ts")).indexCommand,
  search: async () => (await import("./commands/search.ts")).searchCommand,
  duplicates: async () => (await import("./commands/duplicates.ts")).duplicatesCommand,
  eval: async () => (await import("./commands/eval.ts")).evalCommand,
  train: async () => (await import("./commands/train.ts")).trainCommand,
  finetune: async () => (await import("./commands/finetune.ts")).finetuneCommand,
  data: async () => (await import("./commands/data.ts")).dataCommand,
  embed: async () => (await import("./commands/embed.ts")).embedCommand,
  probe: async () => (await import("./commands/probe.ts")).probeCommand,
  models: async () => (await import("./commands/models.ts")).modelsCommand,
  convert: async () => (await import("./commands/convert.ts")).convertCommand,
  forward: async () => (await import("./commands/forward.ts")).forwardCommand,
  tokenize: async () => (await import("./commands/tokenize.ts")).tokenizeCommand,
  preprocess: async () => (await import("./commands/preprocess.ts")).preprocessCommand,
  parity: async () => (await import("./commands/parity.ts")).parityCommand,
  demo: async () => (await import("./commands/demo.ts")).demoCommand,
};

/** Exit codes. `stopped` is 128 + SIGINT, as in shells; after SIGTERM the process exits with 143. */
export const exitCodes = { done: 0, failed: 1, misused: 2, stopped: 130 } as const;

/**
 * Builds the commander program.
 *
 * @param name - the only command to load; all are loaded without it or if it does not exist.
 */
export async function buildProgram(io: CliIo, name?: string): Promise<CommandUnknownOpts> {
  const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as {
    version: string;
  };
  const program = new Command("clip-ts")
    .description("CLIP for TypeScript: classify images by any labels, search, embed, evaluate, train and fine-tune.")
    .version(version);
  const chosen = name !== undefined && Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  for (const load of chosen) program.addCommand((await load())(io).copyInheritedSettings(program));
  for (const command of allCommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => printLines(text, io),
      // A quoted argument may have line ends; commander puts the nearest option on a new line.
      outputError: (text) =>
        io.err(
          text
            .trimEnd()
            .replace(/^error:/, `${fullName(command)}:`)
            .replace(/\n(?=\(Did you mean [^\n]*\)$)/, " "),
        ),
      getOutHelpWidth: () => io.columns ?? 100,
      getErrHelpWidth: () => io.columns ?? 100,
      getOutHasColors: () => io.colour,
      getErrHasColors: () => false,
    });
  }
  return program;
}

export function allCommands(command: CommandUnknownOpts): CommandUnknownOpts[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

/**
 * Runs one command.
 *
 * @param args - for example `["classify", "cat.jpg", "--labels", "cat,dog"]`.
 * @returns one of {@link exitCodes}.
 */
export async function run(args: readonly string[], io: CliIo): Promise<number> {
  const program = await buildProgram(io, args[0]);
  let running: CommandUnknownOpts = program;
  program.hook("preAction", (_, command) => void (running = command));
  try {
    await program.parseAsync(args, { from: "user" });
    return io.signal.aborted ? exitCodes.stopped : exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.misused;
    if (io.signal.aborted) return exitCodes.stopped;
    reportError(fullName(running), error, io);
    return error instanceof ClipError && error.code === "CLIP_USAGE" ? exitCodes.misused : exitCodes.failed;
  }
}

/** Prints an error; with `DEBUG` also its stack. */
export function reportError(where: string, error: unknown, io: CliIo): void {
  io.err(`${where}: ${error instanceof Error ? error.message : String(error)}`);
  if (!(error instanceof ClipError)) io.err("This error is unexpected; please report it with the output of DEBUG=1.");
  if (io.debug && error instanceof Error) printLines(error.stack ?? "", io);
}

function printLines(text: string, io: CliIo): void {
  for (const line of text.trimEnd().split("\n")) io.err(line);
}

/** "clip-ts models inspect" */
export function fullName(command: CommandUnknownOpts): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
