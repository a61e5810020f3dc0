// Fits a line by gradient descent on a tensor program: npx tsx examples/06-gradients.ts
import { float32, gradients, input, minimize, printProgram, type Tensor } from "clip-ts/graph";

// A program is a value. Nothing is computed here: these tensors are symbolic.
const [x, y] = [input("x", ["points"]), input("y", ["points"])];
const loss = (slope: Tensor) => slope.mul(x).sub(y).square().sum();

// A gradient is a tensor of the same program.
const slope = input("slope", []);
console.log(printProgram({ gradient: gradients(loss(slope), [slope])[0]! }));

const points = { x: float32([1, 2, 3], [3]), y: float32([2.1, 3.9, 6], [3]) };
const start = new Map([["slope", float32([0], [])]]);
const steps = minimize(start, (p) => ({ loss: loss(p.get("slope")!) }), {
  steps: 100,
  learningRate: 0.1,
  feeds: () => points,
});
for await (const { step, loss, parameters } of steps)
  if (step % 20 === 0)
    console.log(`step ${step}: slope ${parameters.get("slope")!.data[0]!.toFixed(3)}, loss ${loss.toFixed(3)}`);
