import { float32 } from "../../src/core/tensor-data.ts";
import { input, type Tensor } from "../../src/engine/graph/tensor.ts";
import { Session } from "../../src/engine/runtime/session.ts";

const size = 512;

/** What a chain is fed. */
export const chainFeeds = { a: float32(new Float32Array(size * size), [size, size]) };

/** A program that takes about this long here and now: a chain of matrix products. */
export async function chainFor(ms: number): Promise<{ y: Tensor }> {
  const links = 20;
  await using trial = await Session.compile(chain(links));
  await trial.run(chainFeeds);
  const start = performance.now();
  await trial.run(chainFeeds);
  return chain(Math.ceil((links * ms) / (performance.now() - start)));
}

/** So many matrix products, one after the other. */
export function chain(links: number): { y: Tensor } {
  const a = input("a", [size, size]);
  return {
    y: Array.from({ length: links })
      .reduce<Tensor>((y) => y.matmul(a), a)
      .sum(),
  };
}
