// A program as a value, its gradient, and a few steps down: npx tsx examples/04-gradients.ts
import { float32, gradients, input, Session } from "clip-ts/graph";

// The loss of a line y = slope · x through the points, and its derivative: another program.
const [x, y] = [input("x", ["points"]), input("y", ["points"])];
const slope = input("slope", []);
const loss = slope.mul(x).sub(y).square().sum();
const [gradient] = gradients(loss, [slope]);

await using session = await Session.compile({ loss, gradient: gradient! });
const points = { x: float32([1, 2, 3], [3]), y: float32([2.1, 3.9, 6], [3]) };

let value = 0;
for (let step = 0; step < 8; step++) {
  const results = await session.run({ ...points, slope: float32([value], []) });
  console.log(`step ${step}: slope ${value.toFixed(3)}, loss ${Number(results["loss"]!.data[0]).toFixed(3)}`);
  value -= 0.03 * Number(results["gradient"]!.data[0]);
}
