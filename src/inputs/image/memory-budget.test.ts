import sharp from "sharp";
import { describe, expect, it, vi } from "vitest";
import { useImage } from "./decode.ts";
import { MemoryBudget } from "./memory-budget.ts";

/** Work that ends on demand. */
function work() {
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const state = {
    began: false,
    end,
    run: () => {
      state.began = true;
      return ended;
    },
  };
  return state;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("MemoryBudget", () => {
  it("starts work in order while memory suffices, and oversized work alone", async () => {
    const budget = new MemoryBudget(10);
    const states = [6, 4, 1, 50, 1].map((bytes) => {
      const piece = work();
      return { piece, done: budget.use(bytes, piece.run) };
    });
    const began = () => states.map(({ piece }) => piece.began);
    await turn();
    expect(began()).toEqual([true, true, false, false, false]);
    states[0]!.piece.end();
    await turn();
    expect(began()).toEqual([true, true, true, false, false]);
    states[1]!.piece.end();
    states[2]!.piece.end();
    await turn();
    expect(began()).toEqual([true, true, true, true, false]);
    states[3]!.piece.end();
    await turn();
    expect(began()).toEqual([true, true, true, true, true]);
    states[4]!.piece.end();
    await Promise.all(states.map(({ done }) => done));
  });

  it("frees the memory of failed and aborted work", async () => {
    const budget = new MemoryBudget(10);
    await expect(budget.use(10, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    const [first, second] = [work(), work()];
    const done = budget.use(10, first.run);
    const controller = new AbortController();
    const stopped = budget.use(10, work().run, controller.signal);
    const next = budget.use(10, second.run);
    controller.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    first.end();
    await done;
    await turn();
    expect(second.began).toBe(true);
    second.end();
    await next;
  });
});

describe("useImage", () => {
  it("frees the memory of an image after its use, also if that fails", async () => {
    const create = { width: 3, height: 2, channels: 3, background: "red" } as const;
    const png = await sharp({ create }).png().toBuffer();
    const given: Promise<unknown>[] = [];
    const spy = vi.spyOn(MemoryBudget.prototype, "use").mockImplementation((bytes, use) => {
      expect(bytes).toBe(4 * 3 * 2 + png.length);
      const result = use();
      given.push(result);
      return result;
    });
    try {
      const used = await useImage(png, {}, async ({ width }) => {
        await turn();
        return width;
      });
      expect(used).toBe(3);
      await expect(given[0]).resolves.toBe(3); // the budget waits for the end of the use
      const failure = new Error("broken use");
      await expect(useImage(png, {}, () => Promise.reject(failure))).rejects.toBe(failure);
      await expect(given[1]).rejects.toBe(failure);
    } finally {
      spy.mockRestore();
    }
  });
});
