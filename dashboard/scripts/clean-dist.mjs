// Removes what an earlier build left in dist, but for the committed placeholder.
import { readdir, rm } from "node:fs/promises";

const dist = new URL("../dist/", import.meta.url);

for (const name of await readdir(dist)) {
  if (name !== "placeholder.html") {
    await rm(new URL(name, dist), { recursive: true });
  }
}
