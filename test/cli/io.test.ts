import { afterEach, describe, expect, it, vi } from "vitest";
import { processIo } from "../../src/cli/io.ts";

afterEach(() => vi.restoreAllMocks());

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
