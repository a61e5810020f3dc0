import { readFileSync } from "node:fs";
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { ClipError } from "../../core/errors.ts";
import { packageFile } from "../../core/package-files.ts";
import type { CliIo } from "./io.ts";

/** Every command, in the order of the help. Only what runs is loaded: the rest would be a third of the start. */
const commands: Readonly<Record<string, () => Promise<(io: CliIo) => CommandUnknownOpts>>> = {
  classify: async () => (await import("./commands/classify.ts")).classifyCommand,
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

/** How a run may end; stopped is 128 + SIGINT, as shells have it, and the process makes 143 of it where SIGTERM came. */
export const exitCodes = { done: 0, failed: 1, misused: 2, stopped: 130 } as const;

/**
 * The command line as commander has it.
 *
 * @param name - the command that will run; without it, or if it is none, all commands are there.
 */
export async function buildProgram(io: CliIo, name?: string): Promise<CommandUnknownOpts> {
  const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as {
    version: string;
  };
  const program = new Command("clip-ts")
    .description("CLIP for TypeScript: name what is in images by any words, compare towers, train your own.")
    .version(version);
  const chosen = name !== undefined && Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  for (const load of chosen) program.addCommand((await load())(io).copyInheritedSettings(program));
  for (const command of allCommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => tell(text, io),
      // An argument that it quotes may have line ends; the nearest option is named on a line of its own.
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

/** A command and all below it. */
export function allCommands(command: CommandUnknownOpts): CommandUnknownOpts[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

/**
 * Runs one command.
 *
 * @param args - without the program's name: `["classify", "cat.jpg", "--labels", "cat,dog"]`.
 * @returns the exit code: 0 done, 1 failed, 2 misused, 130 stopped by the user.
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

/** Says what went wrong, in `DEBUG` also where. */
export function reportError(where: string, error: unknown, io: CliIo): void {
  io.err(`${where}: ${error instanceof Error ? error.message : String(error)}`);
  if (!(error instanceof ClipError))
    io.err("This error is not expected; please report it, with the output of DEBUG=1.");
  if (io.debug && error instanceof Error) tell(error.stack ?? "", io);
}

/** Prints a text of several lines that is no result. */
function tell(text: string, io: CliIo): void {
  for (const line of text.trimEnd().split("\n")) io.err(line);
}

/** As one types it: "clip-ts models inspect". */
export function fullName(command: CommandUnknownOpts): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
