import { readFileSync } from "node:fs";
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { ClipError } from "../core/errors.ts";
import { classifyCommand } from "./commands/classify.ts";
import { convertCommand } from "./commands/convert.ts";
import { dataCommand } from "./commands/data.ts";
import { demoCommand } from "./commands/demo.ts";
import { embedCommand } from "./commands/embed.ts";
import { evalCommand } from "./commands/eval.ts";
import { forwardCommand } from "./commands/forward.ts";
import { modelsCommand } from "./commands/models.ts";
import { parityCommand } from "./commands/parity.ts";
import { preprocessCommand } from "./commands/preprocess.ts";
import { probeCommand } from "./commands/probe.ts";
import { tokenizeCommand } from "./commands/tokenize.ts";
import { trainCommand } from "./commands/train.ts";
import type { CliIo } from "./io.ts";

/** Every command, in the order of the help. */
const commands: readonly ((io: CliIo) => CommandUnknownOpts)[] = [
  classifyCommand,
  evalCommand,
  trainCommand,
  dataCommand,
  embedCommand,
  probeCommand,
  modelsCommand,
  convertCommand,
  forwardCommand,
  tokenizeCommand,
  preprocessCommand,
  parityCommand,
  demoCommand,
];

/** How a run may end; stopped by the user is 128 + SIGINT, as shells have it. */
export const exitCodes = { done: 0, failed: 1, misused: 2, stopped: 130 } as const;

/** The command line as commander has it. */
export function buildProgram(io: CliIo): CommandUnknownOpts {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("clip-ts")
    .description("CLIP for TypeScript: name what is in pictures by any words, compare towers, train your own.")
    .version(version);
  for (const make of commands) program.addCommand(make(io).copyInheritedSettings(program));
  for (const command of allCommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error:/, `${fullName(command)}:`)),
      getOutHelpWidth: () => io.columns ?? 100,
      getErrHelpWidth: () => io.columns ?? 100,
      getOutHasColors: () => io.colour,
      getErrHasColors: () => io.colour,
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
  const program = buildProgram(io);
  let running: CommandUnknownOpts = program;
  program.hook("preAction", (_, command) => void (running = command));
  try {
    await program.parseAsync(args, { from: "user" });
    return io.signal.aborted ? exitCodes.stopped : exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.misused;
    if (io.signal.aborted) return exitCodes.stopped;
    io.err(`${fullName(running)}: ${describeError(error)}`);
    if (io.debug && error instanceof Error) io.err(error.stack ?? "");
    return error instanceof ClipError && error.code === "CLIP_USAGE" ? exitCodes.misused : exitCodes.failed;
  }
}

function describeError(error: unknown): string {
  if (error instanceof ClipError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `${message}\nThis was not foreseen; please report it, with what DEBUG=1 prints.`;
}

/** As one types it: "clip-ts models inspect". */
export function fullName(command: CommandUnknownOpts): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
