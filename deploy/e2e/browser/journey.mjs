// A person's whole way through the dashboard, in a real browser: from the printed
// link to an audited call, and out again. Run by browser_test.go.

import assert from "node:assert/strict";
import {
  alert,
  arrive,
  base,
  call,
  choose,
  context,
  dialog,
  eventually,
  fill,
  gone,
  heading,
  mcp,
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

const { WARDER_SETUP_TOKEN, WARDER_SERVER } = process.env;
const me = { name: "ana", password: "correct horse battery" };

async function setUpWith(token) {
  await page.goto("about:blank"); // Else only the fragment changes, and nothing loads.
  await page.goto(`${base}/setup#t=${token}`);
}

async function fillSetUp() {
  await heading("Create the first administrator");
  await fill("Name", me.name);
  await secret("Password", me.password);
  await press("Create administrator");
}

/** Opens a call from the list and looks at its drawer; texts must stand there. */
async function openCall(found, ...texts) {
  await found.getByRole("link").first().click();
  const drawer = dialog("Call");
  for (const text of texts) {
    await shown(text, drawer);
  }
  return drawer;
}

await step("a stranger is led to the sign-in", async () => {
  await page.goto(`${base}/tools?state=pending`);
  await heading("Sign in");
  await page.getByText("No administrator exists yet").waitFor();
  assert.equal(new URL(page.url()).searchParams.get("next"), "/tools?state=pending");
  await watch.look("login");
}, ["WhoAmI 401"]);

await step("a wrong setup token is refused in words, and the form stays", async () => {
  await setUpWith("wds_wrong");
  await fillSetUp();
  await alert("this is not the setup token");
  assert.equal(
    await page.getByRole("textbox", { name: "Name", exact: true }).inputValue(),
    me.name,
  );
}, ["SetUp 403"]);

await step("the printed link creates the first administrator", async () => {
  await setUpWith(WARDER_SETUP_TOKEN);
  await heading("Create the first administrator");
  assert.equal(page.url(), `${base}/setup`, "the token left the address bar");
  await fill("Name", me.name);
  await secret("Password", "short");
  await press("Create administrator");
  await shown("At least 12 characters");
  await watch.look("setup");
  await fillSetUp();
  await heading("Overview");
  await shown(me.name, page.getByRole("banner"));
  await watch.look("overview-first");
  const kept = await page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state, document.cookie]),
  );
  assert.ok(!kept.includes("wds_"), `the token is kept: ${kept}`);
});

const byName = (a, b) => a.name.localeCompare(b.name);

await step("the session is in a cookie that no script reads", async () => {
  const cookies = await context.cookies();
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })).sort(byName),
    ["warder", "warder-device"].map((name) => ({ name, httpOnly: true, sameSite: "Lax" })),
  );
});

await step("the link does not work twice", async () => {
  await setUpWith(WARDER_SETUP_TOKEN);
  await heading("Warder is set up");
  await watch.look("setup-done");
  const again = await fetch(`${base}/warder.admin.v1.LoginService/SetUp`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: WARDER_SETUP_TOKEN, name: "eve", password: me.password }),
  });
  const { code, message } = await again.json();
  assert.equal(code, "failed_precondition", message);
  await page.goto(`${base}/`);
  await heading("Overview");
});

await step("a server is added, and a private address must be marked", async () => {
  await open("Servers");
  await press("Add a server");
  await fill("Name", "calculator");
  await fill("Address", WARDER_SERVER);
  await press("Add", dialog("Add a server"));
  await alert("private");
  await watch.look("server-refused");
  await page.getByRole("checkbox", { name: /private address/ }).check();
  await fill("Certificates of its authorities", "no certificate");
  await fill("Call timeout, in seconds", "5000");
  await press("Add", dialog("Add a server"));
  await shown("PEM, with lines of -----BEGIN CERTIFICATE-----");
  await shown("From 0.001 to 3600 seconds");
  await fill("Certificates of its authorities", "");
  await fill("Call timeout, in seconds", "90");
  await fill("Calls at a time, per node", "16");
  await press("Add", dialog("Add a server"));
  await shown("calculator was discovered");
  await page.getByText("7 new, 0 changed").waitFor();
  await gone(dialog("Add a server"));
  await watch.look("servers");
}, ["AddServer 400"]);

await step(
  "its tools are pending, and one is approved with its definition before the eyes",
  async () => {
    await page.getByRole("link", { name: "Review what it offers" }).click();
    await heading("Tools");
    for (const tool of ["add", "delete_item", "read_notes"]) {
      await shown("Pending", row(`calculator/${tool}`));
    }
    await watch.look("tools");
    await page.getByRole("link", { name: "calculator/add", exact: true }).click();
    const drawer = dialog("calculator/add");
    await drawer.getByText("Adds two numbers").first().waitFor();
    await drawer.getByText('"inputSchema"').waitFor();
    await shown("calculator__add", drawer);
    await watch.look("tool-drawer");
    await press("Approve", drawer);
    await fill("Reason", "It only adds", dialog(/Approve calculator/));
    await watch.look("tool-approve");
    await press("Approve", dialog(/Approve calculator/));
    await shown("Approved", drawer);
    await shown("It only adds", drawer);
    await page.keyboard.press("Escape");
    await gone(drawer);
    await shown("Approved", row("calculator/add"));
  },
);

await step("several tools are approved at once", async () => {
  await page.getByRole("checkbox", { name: "Select calculator/delete_item" }).check();
  await page.getByRole("checkbox", { name: "Select calculator/read_notes" }).check();
  await shown("2 selected");
  await press("Approve");
  await press("Approve", dialog("Approve 2 tools?"));
  await shown("Approved", row("calculator/delete_item"));
  await shown("Approved", row("calculator/read_notes"));
  await gone(dialog("Approve 2 tools?"));
});

await step("prompts, resources and instructions are reviewed like tools", async () => {
  await tab("Prompts");
  await heading("Prompts");
  await shown("Pending", row("calculator/explain"));
  await watch.look("prompts");
  await page.getByRole("link", { name: "calculator/explain", exact: true }).click();
  const drawer = dialog("calculator/explain");
  await drawer.getByText("Explains a sum").first().waitFor();
  await press("Approve", drawer);
  await press("Approve", dialog(/Approve calculator/));
  await shown("Approved", drawer);
  await page.keyboard.press("Escape");
  await gone(drawer);
  await tab("Resources");
  await shown("Pending", row("calculator/notes://today"));
  await tab("Templates");
  await shown("Pending", row("calculator/notes://{day}"));
  await watch.look("templates");
  await open("Servers");
  await page.getByRole("link", { name: "calculator", exact: true }).click();
  const server = dialog("calculator");
  await server.getByText("Add first, then explain.").waitFor();
  await shown("Pending", server);
  await watch.look("server-drawer");
  await server.getByRole("link", { name: "Review its instructions" }).click();
  await heading("Instructions");
  const instructions = dialog("calculator/instructions");
  await press("Reject", instructions);
  await press("Reject", dialog(/Reject calculator/));
  await shown("Rejected", instructions);
  await page.keyboard.press("Escape");
  await gone(instructions);
});

await step("a user is created", async () => {
  await open("Access");
  await press("Create a user");
  await fill("Name", "bob");
  await choose("Roles", "operator");
  await page.keyboard.press("Escape"); // Closes the list, not the dialog.
  await press("Create", dialog("Create a user"));
  await shown("bob is created");
  await shown("operator", row("bob"));
  await watch.look("users");
  await tab("Roles");
  await row("operator").first().waitFor();
  await watch.look("roles");
});

await step("a server's address, headers and bounds are changed, and what is approved stays", async () => {
  await page.goto(`${base}/servers?server=calculator`);
  const server = dialog("calculator");
  await shown("90 s", server);
  await shown("16 per node", server);
  await press("Change", server);
  const form = dialog("Change calculator");
  await shown("Nothing is changed yet.", form);
  await watch.look("server-change");
  await press("Change", form);
  await alert("say what to change");
  await fill("Address", `${WARDER_SERVER}?moved=1`, form);
  await press("Add a header", form);
  await fill("Header 1", "X-Tenant", form);
  await page.getByLabel("Value 1", { exact: true }).fill("blue");
  await fill("Calls at a time, per node", "", form);
  await press("Change", form);
  await gone(form);
  await shown(`${WARDER_SERVER}?moved=1`, server);
  await shown("X-Tenant", server);
  await gone(server.getByText("16 per node"));
  await page.getByText("0 new, 0 changed").waitFor();
  await press("Change", server);
  await fill("Address", WARDER_SERVER, form);
  await page.getByRole("checkbox", { name: "X-Tenant" }).check();
  await watch.look("server-change-back");
  await press("Change", form);
  await gone(form);
  await gone(server.getByText("X-Tenant"));
  await page.keyboard.press("Escape");
  await gone(server);
}, ["UpdateServer 400"]);

let key = "";
await step("a key is created, and its secret shown once", async () => {
  await open("Access");
  await tab("Keys");
  await press("Create a key");
  await choose("User", "bob");
  await page.getByLabel("Application", { exact: true }).first().fill("cursor");
  await watch.look("key-create");
  await press("Create", dialog("Create a key"));
  await shown("Copy it now");
  key = await page.getByRole("textbox", { name: "Key", exact: true }).inputValue();
  assert.match(key, /^wdr_/);
  await press("Copy the key");
  await shown("Copied");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), key);
  await watch.look("key-new");
  await press("I have copied it");
  await gone(dialog("The key is created"));
  await shown("Valid", row("bob", "cursor"));
  assert.ok(!(await page.content()).includes(key), "the secret is still in the page");
  await watch.look("keys");
});

await step("calls show in the live tail as they are made", async () => {
  await open("Audit");
  await press("Follow live");
  await shown("Live");
  await eventually("a node knows the key", async () => (await mcp(key, "server/discover")).status === 200);
  const allowed = await call(key, "calculator__add", { a: 2, b: 3 });
  assert.equal(allowed.message.result?.structuredContent?.sum, 5, JSON.stringify(allowed));
  await row("calculator/add", "Allowed", "OK").waitFor();
  const denied = await call(key, "calculator__delete_item", { id: "7" });
  assert.ok(denied.message.error, JSON.stringify(denied));
  const found = row("calculator/delete_item", "Denied", "Refused");
  await found.waitFor();
  await watch.look("audit-live");
  const drawer = await openCall(found, "bob", "cursor", "default-deny");
  await watch.look("call");
  await page.keyboard.press("Escape");
  await gone(drawer);
});

await step("a pause holds new calls back", async () => {
  await press("Pause");
  await shown("0 new since the pause");
  await call(key, "calculator__delete_item", { id: "8" });
  await page.getByText("1 new since the pause").waitFor();
  assert.equal(await row("calculator/delete_item").count(), 1);
  await press("Resume");
  await eventually(
    "the held call shows",
    async () => (await row("calculator/delete_item").count()) === 2,
  );
});

await step("a rule is written, and in force", async () => {
  await open("Policy");
  await page.getByRole("link", { name: "Write one" }).click();
  await fill(
    "Policy document",
    [
      "rules:",
      "  - name: no-deletes",
      "    priority: 10",
      "    effect: deny",
      "    reason: Deleting items needs a person",
      '    tools: ["*/delete_*"]',
      "",
    ].join("\n"),
  );
  await page.getByText("No errors, 1 warning.").waitFor();
  await press("Apply");
  await press("Apply", dialog("Apply this document?"));
  await page.getByText("Version 1 is applied").waitFor();
  await row("10", "no-deletes").waitFor();
  await watch.look("policy");
});

await step("a decision is explained", async () => {
  await tab("Explain");
  await choose("User", "bob");
  await page.getByLabel("Application", { exact: true }).first().fill("cursor");
  await page.getByLabel("Tool", { exact: true }).first().fill("calculator/delete_item");
  await page.keyboard.press("Escape");
  await press("Explain");
  await shown("Deleting items needs a person", page.getByRole("status"));
  await watch.look("policy-explain");
  await choose("Method", "sampling/createMessage");
  await press("Explain");
  await page.waitForURL(/method=sampling/);
  await choose("Kind", "Prompt");
  await page.getByLabel("Prompt", { exact: true }).first().fill("calculator/explain");
  await page.keyboard.press("Escape");
  await choose("Method", "completion/complete");
  await press("Explain");
  await page.waitForURL(/method=completion/);
  await watch.look("policy-explain-prompt");
});

await step(
  "a call that a rule denies shows the rule and its reason, to the client and in the ledger",
  async () => {
    await eventually("a node has the policy", async () => {
      const { message } = await call(key, "calculator__delete_item", { id: "9" });
      return message.error?.message.includes("Deleting items needs a person");
    });
    await open("Audit");
    await fill("Tool or server", "calculator/delete_item");
    await press("Filter");
    await page.waitForURL(/tool=calculator/);
    await gone(row("calculator/add"));
    await openCall(
      row("calculator/delete_item").first(),
      "no-deletes",
      "Deleting items needs a person",
    );
    await page.getByRole("link", { name: /The way to this decision/ }).click();
    await heading("Policy");
    await shown("Deleting items needs a person", page.getByRole("status"));
    await open("Audit");
    await watch.look("audit");
  },
);

await step("following begins with the latest calls, newest first", async () => {
  await press("Follow live");
  await row("calculator/add").waitFor();
  const times = await page
    .getByRole("row")
    .locator("time")
    .evaluateAll((all) => all.map((each) => each.dateTime));
  assert.ok(times.length >= 4, `only ${times}`);
  assert.deepEqual(times, [...times].sort().reverse());
});

await step("the overview shows the last calls", async () => {
  await open("Overview");
  await row("calculator/delete_item").first().waitFor();
  await watch.look("overview");
});

await step("a revoked key is refused", async () => {
  await page.goto(`${base}/access?tab=keys`);
  await row("bob", "cursor")
    .getByRole("button", { name: /Revoke/ })
    .click();
  await fill("Reason", "The tour is over");
  await press("Revoke", dialog(/Revoke key/));
  await shown("Revoked", row("bob", "cursor"));
  await eventually("the key is refused", async () => (await mcp(key, "server/discover")).status === 401);
});

await step("the colours can be chosen", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await page
    .getByRole("radiogroup", { name: "Colours" })
    .getByText("Dark", { exact: true })
    .click();
  const scheme = () => page.evaluate(() => document.documentElement.dataset.mantineColorScheme);
  assert.equal(await scheme(), "dark");
  await page.reload();
  await heading("Access");
  assert.equal(await scheme(), "dark");
  await page
    .getByRole("radiogroup", { name: "Colours" })
    .getByText("Auto", { exact: true })
    .click();
});

await step("an unknown address says so", async () => {
  await page.goto(`${base}/no-such-page`);
  await heading("No such page");
  await watch.look("not-found");
  await page.getByRole("link", { name: "Go to the overview" }).click();
  await heading("Overview");
});

await step("signing out ends the session", async () => {
  await press("Sign out");
  await heading("Sign in");
  // What says that a browser signed in before stays; it signs nobody in.
  assert.deepEqual((await context.cookies()).map(({ name }) => name), ["warder-device"]);
});

await step("a wrong password is refused in words", async () => {
  await signIn(me.name, "incorrect horse battery");
  await alert("name or password is wrong");
  await watch.look("login-wrong");
}, ["SignIn 401"]);

await step("the right one signs in again", async () => {
  await signIn(me.name, me.password);
  await heading("Overview");
});

await step("a session that ended elsewhere leads to the sign-in and back", async () => {
  await context.clearCookies();
  await page
    .getByRole("navigation", { name: "Pages" })
    .getByRole("link", { name: "Policy", exact: true })
    .click();
  await heading("Sign in");
  await signIn(me.name, me.password);
  await heading("Policy");
}, ["GetPolicy 401", "WhoAmI 401"]);

await arrive();
