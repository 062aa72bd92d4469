// Collects tool definitions of MCP servers on npm for the corpus of internal/risk
// (testdata/corpus/README.md there tells of it). Run it by hand; no test does.
//
//   node tools/riskcorpus/collect.mjs OUT-DIRECTORY [PACKAGE…]
//
// Each package of packages.json is installed into a temporary directory without
// running its install scripts, started over stdio with credentials that are
// good for nothing, asked for tools/list (all pages), and stopped. It runs code
// of strangers: use a machine that has nothing to lose and no way out but npm.
//
// OUT-DIRECTORY gets one file a package, in a directory for its part of the
// corpus. The first line says where it is from, each further line is one
// definition as the server sent it.

import { spawn, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const permissive = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC"];
const answerWithin = 40_000; // milliseconds a server has for one answer
const pagesAtMost = 100;
const toolsAtMost = 40; // of one server, so that none outweighs the others

const [out, ...only] = process.argv.slice(2);
if (!out) throw new Error("usage: collect.mjs OUT-DIRECTORY [PACKAGE…]");
const wanted = JSON.parse(readFileSync(new URL("packages.json", import.meta.url)));

for (const pkg of wanted.filter((p) => only.length === 0 || only.includes(p.name))) {
  const dir = mkdtempSync(join(tmpdir(), "riskcorpus-"));
  try {
    const { manifest, bin } = install(pkg, dir);
    const all = await list(pkg, bin, dir);
    // Some descriptions tell of the machine that they were asked on.
    const tools = sample(all.filter((tool) => !pkg.without?.includes(tool.name)));
    const head = { package: manifest.name, version: manifest.version, licence: manifest.license, offered: all.length };
    mkdirSync(join(out, pkg.part), { recursive: true });
    writeFileSync(join(out, pkg.part, fileName(pkg.name)), [head, ...tools].map((v) => JSON.stringify(v) + "\n").join(""));
    console.log(`${pkg.name}@${manifest.version}: ${tools.length} of ${all.length} tools`);
  } catch (err) {
    console.log(`${pkg.name}: not collected: ${err.message}`);
    process.exitCode = 1;
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
  }
}

function fileName(name) {
  return name.replace(/^@/, "").replace("/", "-") + ".jsonl";
}

// sample keeps the tools whose names have the lowest hashes, in their order: as
// good as by chance, and the same ones each time.
function sample(tools) {
  const rank = (tool) => createHash("sha256").update(tool.name).digest("hex");
  const kept = new Set([...tools].sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).slice(0, toolsAtMost));
  return tools.filter((tool) => kept.has(tool));
}

// install returns the package's manifest and the program that it starts.
function install(pkg, dir) {
  writeFileSync(join(dir, "package.json"), '{"private":true}');
  execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", `${pkg.name}@${pkg.version}`], {
    cwd: dir, stdio: "ignore", timeout: 300_000,
  });
  const root = join(dir, "node_modules", pkg.name);
  const manifest = JSON.parse(readFileSync(join(root, "package.json")));
  if (!permissive.includes(manifest.license)) throw new Error(`its licence is ${manifest.license}`);
  const bins = typeof manifest.bin === "string" ? [manifest.bin] : Object.values(manifest.bin ?? {});
  if (bins.length === 0) throw new Error("it has no program");
  return { manifest, bin: resolve(root, bins[0]) };
}

// list starts a server, asks for its tools and stops it.
async function list(pkg, bin, dir) {
  const home = join(dir, "home");
  mkdirSync(home);
  const server = spawn(process.execPath, [bin, ...(pkg.args ?? [])], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, ...pkg.env },
    stdio: ["pipe", "pipe", "ignore"],
    detached: true, // a group of its own, which ends with what it started
  });
  const answers = new Map();
  const ended = new Promise((_, refuse) => {
    server.on("exit", (code) => refuse(new Error(`it ended with ${code}`)));
    server.on("error", refuse);
  });
  ended.catch(() => {});
  server.stdin.on("error", () => {});
  createInterface({ input: server.stdout }).on("line", (line) => {
    let message;
    try { message = JSON.parse(line); } catch { return; } // some print other things, too
    if (message.method && message.id !== undefined) {
      server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { roots: [] } }) + "\n");
    } else {
      answers.get(message.id)?.(message);
    }
  });
  const ask = (id, method, params) => {
    server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
    let timer;
    const late = new Promise((_, refuse) => { timer = setTimeout(() => refuse(new Error(`no answer to ${method}`)), answerWithin); });
    const answer = new Promise((done, refuse) => answers.set(id, (m) => (m.error ? refuse(new Error(m.error.message)) : done(m.result))));
    return Promise.race([answer, ended, late]).finally(() => clearTimeout(timer));
  };
  try {
    await ask(0, "initialize", {
      protocolVersion: "2025-06-18",
      capabilities: { roots: {}, sampling: {}, elicitation: {} },
      clientInfo: { name: "corpus", version: "1" },
    });
    server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
    const tools = [];
    for (let page = 1, cursor; page <= pagesAtMost; page++) {
      const result = await ask(page, "tools/list", cursor ? { cursor } : {});
      tools.push(...result.tools);
      cursor = result.nextCursor;
      if (!cursor) return tools;
    }
    throw new Error(`more than ${pagesAtMost} pages`);
  } finally {
    try { process.kill(-server.pid, "SIGKILL"); } catch { /* it has ended */ }
  }
}
