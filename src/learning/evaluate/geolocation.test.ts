import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel } from "../../../test/tiny-model.ts";
import { ClipEncoder } from "../../model/embedding/encoder.ts";
import { readModel } from "../../model/pretrained/model-folder.ts";
import { distanceKm, evaluateGeolocation, readPlacedImages } from "./geolocation.ts";

const root = await temporaryFolder();
const encoder = new ClipEncoder(await readModel(await saveTinyModel(join(root, "model"))));
afterAll(() => encoder.release());

describe("distanceKm", () => {
  const place = (latitude: number, longitude: number) => ({ latitude, longitude });
  const quarter = (Math.PI / 2) * 6371;

  it("is a quarter of the circumference from a pole to the equator and along a quarter of it, half to the antipode", () => {
    expect(distanceKm(place(90, 17), place(0, -120))).toBeCloseTo(quarter, 6);
    expect(distanceKm(place(0, 135), place(0, -135))).toBeCloseTo(quarter, 6);
    expect(distanceKm(place(30, 40), place(-30, -140))).toBeCloseTo(2 * quarter, 3);
    expect(distanceKm(place(51, 0), place(51, 0))).toBe(0);
  });

  it("is shorter along a degree of longitude away from the equator, by the cosine of the latitude", () => {
    // A great circle is a little shorter than the parallel: by 3e-5 of it here.
    expect(distanceKm(place(60, 0), place(60, 1)) / distanceKm(place(0, 0), place(0, 1))).toBeCloseTo(0.5, 4);
  });
});

describe("evaluateGeolocation", () => {
  it("takes the place of the most similar image: here of the same, moved by known distances", async () => {
    const degree = distanceKm({ latitude: 0, longitude: 0 }, { latitude: 1, longitude: 0 });
    const moves = [0.5, 20, 100, 700, 2000, 5000];
    const known: string[] = [];
    const asked: string[] = [];
    for (const [i, kilometres] of moves.entries()) {
      const image = await writeRandomImage(join(root, `${i}.png`), i);
      known.push(`${image},0,${20 * i}`);
      asked.push(`${image},${kilometres / degree},${20 * i}`);
    }
    const read = async (name: string, rows: readonly string[]) => {
      await writeFile(join(root, name), ["image,latitude,longitude", ...rows].join("\n"));
      return (await readPlacedImages(join(root, name))).images;
    };
    const references = await read("known.csv", known);
    const scores = await evaluateGeolocation(encoder, await read("asked.csv", asked), references);
    expect(scores).toMatchObject({ count: 6, references: 6, broken: [] });
    expect(scores.within).toEqual([1, 25, 200, 750, 2500].map((kilometres, i) => ({ kilometres, share: (i + 1) / 6 })));
    await expect(read("wrong.csv", ["a.png,91,0"])).rejects.toThrow(
      /wrong\.csv, line 2: 91, 0 is not a latitude and longitude in degrees/,
    );
    const missing = [{ image: join(root, "none.png"), latitude: 0, longitude: 0 }];
    await expect(evaluateGeolocation(encoder, missing, references)).rejects.toMatchObject({ code: "CLIP_DATA" });
  });
});
