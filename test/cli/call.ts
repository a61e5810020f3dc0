import { type CliIo, inputOnce } from "../../src/interfaces/cli/io.ts";
import { run } from "../../src/interfaces/cli/program.ts";

/** What a call of the command line left behind. */
export interface Called {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Calls the command line in this process, as a terminal without colours would. */
export async function call(
  args: readonly string[],
  given: Partial<CliIo> & { readonly input?: string | Uint8Array } = {},
): Promise<Called> {
  const { input = "", ...changes } = given;
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(args, {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    progress: () => {},
    ...inputOnce(() => Promise.resolve(Buffer.from(input))),
    columns: 80,
    colour: false,
    debug: false,
    signal: new AbortController().signal,
    ...changes,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
