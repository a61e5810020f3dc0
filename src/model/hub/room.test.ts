import { existsSync } from "node:fs";
import type * as files from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { commit, serveHub } from "../../../test/hub-server.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { download } from "../../core/download.ts";
import { resolveModel } from "./resolve.ts";

/** What the disk is said to have room for, in bytes. */
let free = 0;
vi.mock("node:fs/promises", async (original) => ({
  ...(await original<typeof files>()),
  statfs: () => Promise.resolve({ blocks: 1000, bavail: free / 1000, bsize: 1000 }),
}));

afterEach(() => vi.unstubAllEnvs());

it("a disk with too little room is told of before anything is fetched, with what is missing", async () => {
  const home = await temporaryFolder();
  const content = { "config.json": Buffer.from("{}"), "model.safetensors": Buffer.alloc(5_000_000) };
  const hub = await serveHub("some/model", content);
  for (const name of ["HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY"]) vi.stubEnv(name, undefined);
  vi.stubEnv("HF_ENDPOINT", hub.url);
  vi.stubEnv("HF_HUB_CACHE", home);
  free = 2_000_000;
  await expect(resolveModel("some/model")).rejects.toMatchObject({
    code: "CLIP_FILE",
    message: expect.stringMatching(
      /^a download of 6 MB into .*models--some--model does not fit: 2 MB are free, 4 MB more are needed; .*HF_HUB_CACHE$/,
    ) as string,
  });
  const asked = () => hub.requests.filter(({ path }) => path.includes("/resolve/")).length;
  expect(asked()).toBe(0);
  const target = join(home, "file");
  await expect(download(`${hub.url}/some/model/resolve/${commit}/model.safetensors`, target)).rejects.toThrow(
    /^a download of 5 MB .* 3 MB more are needed/,
  );
  expect(existsSync(`${target}.part`)).toBe(false);
  free = 5_000_100;
  await resolveModel("some/model");
  await hub.close();
});
