// An administrator's way from an empty fleet to a stdio server that is ready, and
// back: he lets an agent in with the command that the page prints, gives it a server,
// reads why the agent refuses it, and shuts the agent out again. Run by
// browser_test.go, which has the programs of that command on PATH.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  arrive,
  base,
  choose,
  dialog,
  eventually,
  fill,
  gone,
  heading,
  open,
  page,
  press,
  row,
  secret,
  shown,
  signIn,
  step,
  tab,
  watch,
} from "./way.mjs";

const { HOME, WARDER_NODES, WARDER_PASSWORD, WARDER_PROGRAM, WARDER_NOTES } = process.env;
const hidden = "s3cret-of-the-server";

const block = (locator, text) => locator.locator("pre").filter({ hasText: text });

const hasFocus = (locator) => locator.evaluate((element) => element === document.activeElement);

/** The agent, as the command of the page starts it. */
let agent;
const said = [];

function start(command) {
  agent = spawn("sh", ["-c", `exec env ${command}`], { stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [agent.stdout, agent.stderr]) {
    stream.on("data", (chunk) => said.push(chunk));
  }
  agent.on("exit", (code) => said.push(`the agent ended with ${code}\n`));
}

process.on("exit", () => {
  agent?.kill("SIGKILL");
  if (process.exitCode !== 0) {
    console.log(`the agent said:\n${said.join("")}`);
  }
});

/** The agent's file, as the page says where it is. */
function allow(...rules) {
  const file = join(HOME, ".config/warder/agent.yaml");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, rules.join(""), { mode: 0o600 });
}

await page.goto(base);
await signIn("root", WARDER_PASSWORD);
await heading("Overview");

await step("the nodes are there with what they serve", async () => {
  await open("Fleet");
  await row("edge-1", "Connected").waitFor();
  await watch.look("fleet-nodes");
}, ["WhoAmI 401"]);

await step("without an agent the page says what to do", async () => {
  await tab("Agents");
  await page.getByText("warder-agent run --control-plane").waitFor();
  await watch.look("agents-none");
  await page.getByRole("link", { name: "Make a join token" }).click();
  await row("node edge-1", "Used").waitFor();
  await watch.look("join-tokens");
});

await step("a join token is made, and an agent joins by the command that comes with it", async () => {
  await press("Create a join token");
  const form = dialog("Create a join token");
  await fill("Name", "Laptop", form);
  await press("Create", form);
  await shown("1 to 63 characters of a-z, 0-9 and -, beginning with a letter", form);
  await watch.look("join-token-create");
  await fill("Name", "laptop", form);
  await page.getByLabel("Region", { exact: true }).first().fill("eu");
  await page.keyboard.press("Escape"); // Closes the list, not the dialog.
  await press("Create", form);

  const made = dialog("The join token is created");
  const token = await made.getByRole("textbox", { name: "Join token", exact: true }).inputValue();
  assert.match(token, /^wdj_/);
  const command = await block(made, "WARDER_JOIN_TOKEN").first().textContent();
  assert.equal(command, `WARDER_JOIN_TOKEN=${token} warder-agent run --control-plane ${WARDER_NODES}`);
  await press("Copy the command", made);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  await shown("laptop has not joined yet.", made);
  await watch.look("join-token");

  allow(await block(made, "allow:").textContent());
  start(command);
  await shown("laptop has joined.", made);
  await press("Done", made);
  await gone(made);
  assert.ok(!(await page.content()).includes(token), "the token is still in the page");
  await row("agent laptop", "Used").waitFor();
});

await step("the agent is there, with its tunnel", async () => {
  await tab("Agents");
  await row("laptop", "Connected", "edge-1").waitFor();
  await watch.look("agents");
  await page.getByRole("link", { name: "laptop", exact: true }).click();
  await dialog("laptop").getByText("It reports none.").waitFor();
  await watch.look("agent-drawer-none");
  await page.keyboard.press("Escape");
  await gone(dialog("laptop"));
});

await step("a server is given to it, which its own file does not allow, and the page says so", async () => {
  await open("Servers");
  await press("Add a server");
  const form = dialog("Add a server");
  await fill("Name", "files", form);
  await form.getByRole("radio", { name: /An agent runs it/ }).check();
  await fill("Command", `node "${WARDER_PROGRAM}`, form);
  await press("Add", form);
  await shown('A quote " is opened and not closed', form);
  await fill("Command", `node "${WARDER_PROGRAM}" '${WARDER_NOTES}'`, form);
  await form
    .getByRole("list", { name: "What runs" })
    .getByRole("listitem")
    .filter({ hasText: WARDER_NOTES })
    .waitFor();
  await press("Add a variable", form);
  await fill("Variable 1", "NOTES_TOKEN", form);
  await secret("Value 1", hidden);
  await choose("Agent", "laptop");
  await watch.look("server-of-agent");
  await press("Add", form);
  await gone(form);
  assert.ok(!(await page.content()).includes(hidden), "the secret is still in the page");
  await row("files", "Refused there", "agent.yaml").waitFor();
  await watch.look("server-refused-there");
});

await step("its file allows it, and the server is ready", async () => {
  await page.getByRole("link", { name: "files", exact: true }).click();
  const refused = dialog("files");
  const rule = await block(refused, "allow:").textContent();
  await watch.look("server-refused-drawer");
  allow(rule);
  await gone(block(refused, "allow:"));
  await page.keyboard.press("Escape");
  await gone(refused);
  await press("Refresh files");
  await row("files", "Ready").waitFor();
  await watch.look("server-ready-there");
  await page.getByRole("link", { name: "files", exact: true }).click();
  const drawer = dialog("files");
  await shown("NOTES_TOKEN (sealed)", drawer);
  await shown("a process for each", drawer);
  await watch.look("server-of-agent-drawer");
  await press("Change", drawer);
  await watch.look("server-of-agent-change");
  await page.keyboard.press("Escape");
  await gone(dialog("Change files"));
  await page.keyboard.press("Escape");
  await gone(drawer);
});

await step("what it offers is approved", async () => {
  await page.goto(`${base}/tools?server=files&tool=files%2Flist_directory`);
  const drawer = dialog("files/list_directory");
  await press("Approve", drawer);
  await press("Approve", dialog(/Approve files/));
  await shown("Approved", drawer);
  await page.keyboard.press("Escape");
  await gone(drawer);
});

await step("the agent's drawer has the server, and how it runs", async () => {
  await page.goto(`${base}/fleet?tab=agents&name=laptop`);
  const drawer = dialog("laptop");
  await drawer.getByRole("link", { name: "files", exact: true }).waitFor();
  await watch.look("agent-drawer");
  const remove = drawer.getByRole("button", { name: "Remove", exact: true });
  assert.equal(await remove.getAttribute("aria-disabled"), "true");
});

await step("an agent that ends is away, and so is its server", async () => {
  agent.kill("SIGINT");
  await shown("Away", dialog("laptop"));
  await watch.look("agent-away");
  await page.goto(`${base}/servers`);
  await row("files", "Agent away").waitFor();
  await watch.look("server-away");
});

await step("the agent is shut out, and the page says how it comes back", async () => {
  await page.goto(`${base}/fleet?tab=agents&name=laptop`);
  await press("Revoke", dialog("laptop"));
  await fill("Reason", "lost in a train", dialog("Revoke the agent laptop?"));
  await watch.look("agent-revoke");
  await press("Revoke", dialog("Revoke the agent laptop?"));
  await shown("Revoked", dialog("laptop"));
  await page.keyboard.press("Escape");
  await row("laptop", "Revoked", "void").waitFor();
  await page.goto(`${base}/access?tab=denials`);
  await row("agent", "laptop", "lost in a train").waitFor();
});

await step("a join token is made by keyboard alone, and revoked as it is not needed", async () => {
  await page.goto(`${base}/fleet?tab=tokens`);
  await page.getByRole("button", { name: "Create a join token", exact: true }).focus();
  await page.keyboard.press("Enter");
  const name = dialog("Create a join token").getByRole("textbox", { name: "Name", exact: true });
  await eventually("the name has the focus", () => hasFocus(name));
  await page.keyboard.type("edge-2");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("ArrowDown"); // Opens the list.
  await page.getByRole("option", { name: "A node, which serves clients" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const token = page.getByRole("textbox", { name: "Join token", exact: true });
  await token.waitFor();
  await eventually("the token has the focus", () => hasFocus(token));
  await block(page, "warder dataplane").first().waitFor();
  await watch.look("join-token-node");
  await press("Done", dialog("The join token is created"));
  await row("node edge-2", "Not used yet")
    .getByRole("button", { name: /^Revoke/ })
    .click();
  await press("Revoke", dialog(/Revoke join token/));
  await gone(row("node edge-2"));
});

await step("a new authority takes over, and no second one meanwhile", async () => {
  await tab("Authority");
  await row("Signs").first().waitFor();
  await press("Rotate");
  await watch.look("authority-rotate");
  await press("Rotate", dialog("Rotate the authority?"));
  await row("Waits for its turn").waitFor();
  const rotate = page.getByRole("button", { name: "Rotate", exact: true });
  await eventually(
    "the button says that one takes over already",
    async () => (await rotate.getAttribute("aria-disabled")) === "true",
  );
  await watch.look("authority");
});

await arrive();
