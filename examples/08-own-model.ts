// Builds two towers from layers, trains them with CLIP's loss, saves and loads them: npx tsx examples/08-own-model.ts FILE
import { float32, input, minimize, Session, type Tensor } from "clip-ts/graph";
import * as models from "clip-ts/models";
import { clipLoss } from "clip-ts/train";

const [file = "own-model.safetensors"] = process.argv.slice(2);

// A layer is a function of a record of parameters. Here both towers are MLPs, over 8 and 6 numbers.
const tower = (width: number) => ({ fc: models.linearSpec(32, width), proj: models.linearSpec(4, 32) });
const specs = { left: tower(8), right: tower(6), logitScale: models.spec([], { constant: Math.log(1 / 0.07) }) };

// Eight pairs of rows of numbers.
const rows = (width: number, value: (i: number) => number) =>
  float32(
    Float32Array.from({ length: 8 * width }, (_, i) => value(i)),
    [8, width],
  );
const pairs = { left: rows(8, (i) => Math.sin(i * i)), right: rows(6, (i) => Math.cos(3 * i * i)) };

function logits(p: models.WithLeaves<typeof specs, Tensor>): Tensor {
  const embeds = (side: "left" | "right") =>
    models.l2Normalize(models.mlp(p[side], "gelu", input(side, pairs[side].shape)));
  return models.clipLogits(p, embeds("left"), embeds("right"));
}
const program = (p: ReadonlyMap<string, Tensor>) => {
  return { loss: clipLoss(logits(models.mapParameters(specs, (path) => p.get(path)!))) };
};
const start = models.initializeParameters(specs, 0);
const options = { steps: 80, learningRate: 0.01, feeds: () => pairs };
for await (const { step, loss, parameters } of minimize(start, program, options)) {
  if (step % 20 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
  if (step === options.steps) await models.saveParameters(file, parameters);
}

const loaded = models.storedParameters(specs, await models.loadParameters(file, specs, models.ownNames));
await using session = await Session.compile({ shares: logits(loaded).softmax(1) });
const { data } = (await session.run(pairs))["shares"]!;
console.log(`loaded: pair 0 matches with probability ${Number(data[0]).toFixed(2)}`);
