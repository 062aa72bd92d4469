// Compresses what the build wrote, and fails when a page would load too much.
// The budgets are those of a first visit over a slow line: sizes are of gzip.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const KB = 1000;
const budget = {
  initialScripts: 300 * KB,
  styles: 45 * KB,
  routeChunk: 60 * KB,
  total: 2500 * KB,
};

const dist = new URL("../dist/", import.meta.url);
const page = await readFile(new URL("index.html", dist), "utf8");
const sizes = { initialScripts: 0, styles: 0, total: 0 };
const problems = [];

if (!page.includes("WARDER_CSP_NONCE")) {
  problems.push("index.html has no place for the nonce that handler.go writes");
}

for (const name of await readdir(new URL("assets/", dist))) {
  const file = new URL(`assets/${name}`, dist);
  const content = await readFile(file);
  sizes.total += content.length;
  if (!/\.(js|css|svg|json)$/.test(name)) {
    continue;
  }
  const gzip = gzipSync(content, { level: 9 });
  const brotli = brotliCompressSync(content, {
    params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
  await writeFile(new URL(`${file}.gz`), gzip);
  await writeFile(new URL(`${file}.br`), brotli);

  if (name.endsWith(".css")) {
    sizes.styles += gzip.length;
  } else if (page.includes(name)) {
    sizes.initialScripts += gzip.length;
  } else if (gzip.length > budget.routeChunk) {
    problems.push(`${name}: ${gzip.length} bytes of gzip, at most ${budget.routeChunk}`);
  }
}

for (const [what, size] of Object.entries(sizes)) {
  console.log(`${what}: ${(size / KB).toFixed(1)} KB of ${budget[what] / KB}`);
  if (size > budget[what]) {
    problems.push(`${what}: ${size} bytes, at most ${budget[what]}`);
  }
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
