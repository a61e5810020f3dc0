import { expect, it } from "vitest";
import { Remote } from "./remote.ts";

it("a thread that cannot start fails every call, those made later too, instead of leaving them open", async () => {
  const thread = new Remote("runtime/no-such-worker");
  const failure = { code: "CLIP_RUNTIME", message: /no-such-worker/ };
  await expect(thread.call("run", [])).rejects.toMatchObject(failure);
  await expect(thread.call("run", [])).rejects.toMatchObject(failure);
});
