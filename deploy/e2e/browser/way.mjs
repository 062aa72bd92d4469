// One person before one browser, who goes through the dashboard of a running
// gateway step by step. Everything is found by the name that a screen reader
// would say.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { Watch } from "./watch.mjs";

export const base = process.env.WARDER_BASE;
const { WARDER_BROWSER, WARDER_SCREENSHOTS, WARDER_PROVIDER } = process.env;
const patience = 15_000; // milliseconds, for whatever a person waits for

const browser = await chromium.launch({
  executablePath: WARDER_BROWSER,
  // The browser itself, too, reaches nobody but the gateway.
  args: [
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
  ],
});
export const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
context.setDefaultTimeout(patience);
export const page = await context.newPage();
export const watch = new Watch(page, base, [WARDER_PROVIDER].filter(Boolean), WARDER_SCREENSHOTS);
await watch.begin();

let failed = false;

function report(name, problems) {
  failed ||= problems.length > 0;
  console.log([problems.length === 0 ? `ok: ${name}` : `FAILED: ${name}`, ...problems].join("\n"));
}

/**
 * One leg of the way. refusals are the answers of 400 and above that belong to
 * it; no others may come. A problem on a page does not end the journey, a way
 * that cannot be gone does.
 */
export async function step(name, run, refusals = []) {
  try {
    await run();
    report(name, watch.problems(refusals));
  } catch (error) {
    const where = `at ${page.url()}, which shows:\n${await page.locator("body").ariaSnapshot()}`;
    report(name, [error.stack, ...watch.problems(refusals), where]);
    await browser.close();
    process.exit(1);
  }
}

export const heading = (name) => page.getByRole("heading", { name, exact: true }).waitFor();
export const press = (name, within = page) => within.getByRole("button", { name, exact: true }).click();
export const tab = (name) => page.getByRole("tab", { name, exact: true }).click();
export const fill = (label, text, within = page) =>
  within.getByRole("textbox", { name: label, exact: true }).fill(text);
export const secret = (label, text) => page.getByLabel(label, { exact: true }).fill(text);
export const shown = (text, within = page) => within.getByText(text, { exact: true }).first().waitFor();
export const dialog = (name) => page.getByRole("dialog", { name });
export const alert = (text) => page.getByRole("alert").filter({ hasText: text }).waitFor();
export const gone = (locator) => locator.waitFor({ state: "detached" });
export const row = (...texts) =>
  texts.reduce((found, hasText) => found.filter({ hasText }), page.getByRole("row"));

export async function open(name) {
  await page
    .getByRole("navigation", { name: "Pages" })
    .getByRole("link", { name, exact: true })
    .click();
  await heading(name);
}

/** Opens a list and takes an option. The click may land on the frame around the field, as a person's would. */
export async function choose(label, option) {
  await page.getByRole("combobox", { name: label, exact: true }).click({ force: true });
  await page.getByRole("option", { name: option, exact: true }).click();
}

/** Polls until ok says yes. */
export async function eventually(what, ok) {
  for (
    const deadline = Date.now() + patience;
    !(await ok());
    await new Promise((done) => setTimeout(done, 50))
  ) {
    assert.ok(Date.now() < deadline, `${what}: not within ${patience} ms`);
  }
}

/** Speaks MCP to the gateway as a client with the key does; returns the status and the message. */
export async function mcp(key, method, params = {}) {
  const version = "2026-07-28";
  const response = await fetch(`${base}/mcp`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": version,
      "mcp-method": method,
      ...(params.name && { "mcp-name": params.name }),
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": version,
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    }),
  });
  const body = await response.text();
  // The answer is the body, or the last event of a stream.
  const last = body.startsWith("{") ? body : body.split("data: ").at(-1).split("\n")[0];
  return { status: response.status, message: last.startsWith("{") ? JSON.parse(last) : body };
}

export const call = (key, name, args) => mcp(key, "tools/call", { name, arguments: args });

/** Fills in the sign-in page. */
export async function signIn(name, password) {
  await heading("Sign in");
  await fill("Name", name);
  await secret("Password", password);
  await press("Sign in");
}

/** Ends the way. */
export async function arrive() {
  await browser.close();
  process.exitCode = failed ? 1 : 0;
}
