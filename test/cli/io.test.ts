import { afterEach, describe, expect, it, vi } from "vitest";
import { processIo } from "../../src/interfaces/cli/io.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** What is written of a progress that is told every second, by the second in which it is told. */
function written(isTerminal: boolean, seconds: number): string[] {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => 1000 * now);
  const lines: string[] = [];
  const stderr = { isTTY: isTerminal, columns: 80, write: (text: string) => lines.push(text) };
  vi.spyOn(process, "stderr", "get").mockReturnValue(stderr as unknown as typeof process.stderr);
  const io = processIo(new AbortController().signal);
  for (now = 1; now <= seconds; now++) io.progress(`second ${now}`);
  return lines;
}

describe("progress", () => {
  it("where nobody watches is a line after ten seconds, and one every half minute then", () => {
    expect(written(false, 75)).toEqual(["second 10\n", "second 40\n", "second 70\n"]);
    expect(written(false, 9)).toEqual([]);
  });

  it("in a terminal replaces what was shown", () => {
    expect(written(true, 2)).toEqual(["\r\u001b[Ksecond 1", "\r\u001b[Ksecond 2"]);
  });
});

/** What is written of a text that goes to both streams, of which the named ones are terminals. */
function printed(text: string, terminals: readonly ("stdout" | "stderr")[], isPainted = false) {
  vi.stubEnv("NO_COLOR", "");
  const lines = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    const stream = { isTTY: terminals.includes(name), columns: 80, write: (line: string) => (lines[name] += line) };
    vi.spyOn(process, name, "get").mockReturnValue(stream as unknown as typeof process.stdout);
  }
  const io = processIo(new AbortController().signal);
  io.out(text, isPainted);
  io.err(text);
  return lines;
}

describe("what is printed", () => {
  /** Of each kind one: colours, a title, a CSI of one character, other directions, a bell, a line that is written over. */
  const hostile = "a\u001b[31mb\u001b]0;c\u0007d\u009b2Je\u202ef\u2066g\u0007h\ri\u007fj\u2028k";
  const harmless = String.raw`a\u001b[31mb\u001b]0;c\u0007d\u009b2Je\u202ef\u2066g\u0007h\u000di\u007fj\u2028k`;

  it.each([[[]], [["stdout"]], [["stderr"]], [["stdout", "stderr"]]] as const)(
    "steers no terminal: %j",
    (terminals) => {
      expect(printed(hostile, terminals)).toEqual({ stdout: `${harmless}\n`, stderr: `${harmless}\n` });
    },
  );

  it("has colours of our own, in results that are read in a terminal", () => {
    const [colour, without] = ["\u001b[32mgreen\u001b[0m", String.raw`\u001b[32mgreen\u001b[0m`];
    expect(printed(colour, ["stdout"], true)).toEqual({ stdout: `${colour}\n`, stderr: `${without}\n` });
    expect(printed(colour, ["stderr"], true)).toEqual({ stdout: `${without}\n`, stderr: `${without}\n` });
    expect(printed(`${colour}\u001b[2J`, ["stdout"], true).stdout).toBe(`${colour}${String.raw`\u001b[2J`}\n`);
  });

  it("is of several lines where it is a result; a message's further lines are indented", () => {
    expect(printed("a\n  b\nc\td", ["stdout", "stderr"])).toEqual({
      stdout: "a\n  b\nc\td\n",
      stderr: `a\n  b${String.raw`\u000ac\u0009d`}\n`,
    });
  });

  it("stays JSON that says the same", () => {
    const value = { [hostile]: [hostile, '\n\t"\\'] };
    const { stdout } = printed(JSON.stringify(value, null, 2), ["stdout"]);
    expect(JSON.parse(stdout)).toEqual(value);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}|[\u2028-\u202e\u2066-\u2069]/u);
  });
});
