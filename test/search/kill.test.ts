import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import Database from "libsql";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/core/random.ts";
import { writeRandomImage } from "../images.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { saveTinyModel } from "../tiny-model.ts";

const root = await temporaryFolder();
/** `CLIP_TS_KILLS=30 npx vitest run test/search/kill.test.ts` is the long proof. */
const kills = Number(process.env["CLIP_TS_KILLS"] ?? 4);
const count = 100 * (kills + 1);

describe("an indexing whose process is killed", () => {
  it(`keeps every row that it said to be on the disk, has none twice, and goes on: ${kills} kills`, async () => {
    const model = await saveTinyModel(join(root, "model"));
    const folder = join(root, "images");
    await mkdir(folder);
    for (let i = 0; i < count; i++) await writeRandomImage(join(folder, `${i}.png`), i);
    const path = join(root, "index");
    const seed = Date.now() % 1_000_000;
    const random = new Random(seed, 0);
    const acknowledged = new Set<string>();
    for (let kill = 0; kill <= kills; kill++) {
      const script = fileURLToPath(new URL("./child.ts", import.meta.url));
      const child = spawn(process.execPath, ["--import", "tsx", script, model, path, folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const lines = createInterface(child.stdout);
      lines.on("line", (line) => (JSON.parse(line) as string[]).forEach((each) => acknowledged.add(each)));
      const closed = once(lines, "close");
      const ended = once(child, "exit");
      await Promise.race([once(lines, "line"), ended]);
      if (kill < kills) {
        await sleep(random.uniform(0, 300));
        child.kill("SIGKILL");
      }
      await ended;
      await closed;

      const database = new Database(join(path, "index.db"));
      const all = (sql: string) => database.prepare(sql).raw().all() as unknown[][];
      const found = all("select path from items").map(([each]) => each as string);
      expect(all("pragma integrity_check"), `seed ${seed}`).toEqual([["ok"]]);
      expect(new Set(found).size).toBe(found.length);
      for (const each of acknowledged) expect(found, `seed ${seed}`).toContain(each);
      expect(all("select count(*) from items left join views on items.id = item where views.id is null")).toEqual([
        [0],
      ]);
      database.close();
      if (kill === kills) expect(found).toHaveLength(count);
    }
  });
});
