import { expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { Heap } from "./priority-queue.ts";

const seed = Math.floor(Math.random() * 2 ** 31);
it(`returns elements in order for any mix of add and take (seed ${seed})`, () => {
  const random = new Random(seed);
  const heap = new Heap<number>((a, b) => a < b);
  let sorted: number[] = [];
  for (let i = 0; i < 2000; i++) {
    if (random.uniform() < 0.6) {
      const element = random.integer(100);
      heap.add(element);
      sorted = [...sorted, element].sort((a, b) => a - b);
    } else expect(heap.take(), `seed ${seed}, step ${i}`).toBe(sorted.shift());
  }
});
