import { ClipEncoder } from "../../src/model/embedding/encoder.ts";
import { readModel } from "../../src/model/pretrained/model-folder.ts";
import { openIndex } from "../../src/search.ts";

/** Indexes a folder, and prints the paths of each batch when it is said to be on the disk. */
const [model, path, folder] = process.argv.slice(2) as [string, string, string];
const encoder = new ClipEncoder(await readModel(model));
const index = await openIndex(path, encoder);
const upsert = index.store.upsert.bind(index.store);
index.store.upsert = async (items, unreadable) => {
  await upsert(items, unreadable);
  if (items.length > 0) console.log(JSON.stringify(items.map(({ item }) => item.path)));
};
console.log("[]");
await index.add(folder);
await index[Symbol.asyncDispose]();
await encoder.release();
