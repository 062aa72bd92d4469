// A person's way through what governs tools and policy: a poisoned tool that
// changes behind his back, and rules that are written, tried, and taken back. Run
// by browser_test.go.

import assert from "node:assert/strict";
import {
  arrive,
  base,
  call,
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
  shown,
  signIn,
  step,
  tab,
  watch,
} from "./way.mjs";

const { WARDER_PASSWORD: password, WARDER_KEY: key, WARDER_CHANGE } = process.env;
const poisoned = "fickle/read_poisoned";
const poisonedDialog = dialog(poisoned).filter({ hasText: "Name for clients" });

/** The link of a page whose name is followed by how many alerts are open. */
const alertsLink = page
  .getByRole("navigation", { name: "Pages" })
  .getByRole("link", { name: /^Alerts/ });
const alertAbout = (text) => page.getByRole("listitem").filter({ hasText: text });
const leave = async (drawer) => {
  await page.keyboard.press("Escape");
  await gone(drawer);
};
const inert = (name) => page.locator(`button[aria-disabled=true]`, { hasText: name }).first();

await step("an owner signs in", async () => {
  await page.goto(`${base}/tools`);
  await signIn("root", password);
  await heading("Tools");
}, ["WhoAmI 401"]);

await step("an alert leads to the tools with hard findings", async () => {
  await shown("1 open", alertsLink);
  await alertsLink.click();
  await heading("Alerts");
  await shown("A definition looks dangerous", alertAbout("fickle/read_hidden"));
  await watch.look("alerts");
  await page.getByRole("link", { name: "Review", exact: true }).click();
  await heading("Tools");
  await shown("Hard", row(poisoned));
  await shown("Pending", row(poisoned));
  await shown("Hard", row("fickle/read_hidden"));
  assert.equal(await row("fickle/read_clean").count(), 0);
  await watch.look("tools-found");
});

await step("filters are in the address", async () => {
  await choose("Found", "no finding");
  await page.waitForURL(/findings=none/);
  await row("fickle/read_clean").waitFor();
  assert.equal(await row(poisoned).count(), 0);
  await choose("Risk", "execute");
  await page.waitForURL(/risk=execute/);
  await page.getByText("No tools like that").waitFor();
  await page.goBack();
  await row("fickle/read_clean").waitFor();
});

await step("T-01: a poisoned tool is not approved unless its findings are accepted", async () => {
  await page.goto(`${base}/tools?tool=${encodeURIComponent(poisoned)}`);
  await heading("What the scanner found");
  await poisonedDialog.getByText("/description", { exact: true }).first().waitFor();
  await watch.look("tool-poisoned");
  await press("Approve", poisonedDialog);
  const form = dialog(`Approve ${poisoned}?`);
  await form.getByText("The scanner found in").waitFor();
  await watch.look("tool-approve-findings");
  await press("Approve", form);
  await shown("It cannot be approved unless you accept what was found", form);
  await form.getByRole("checkbox", { name: /I have read the hard findings/ }).check();
  await press("Approve", form);
  await shown("Say why it is approved all the same", form);
  await watch.look("tool-approve-refused");
  await fill("Reason", "It is only a test", form);
  await press("Approve", form);
  await gone(form);
  await shown("Approved", poisonedDialog);
  await row("Approved", "root", "It is only a test", "injection.").waitFor();
  await watch.look("tool-history");
  await leave(poisonedDialog);
});

await step("of several, what has hard findings is skipped, and said so", async () => {
  await page.goto(`${base}/tools?state=pending`);
  await page.getByRole("checkbox", { name: "Select all" }).check();
  await press("Approve");
  await press("Approve", dialog("Approve 2 tools?"));
  const outcome = dialog("1 approved, 1 skipped");
  await outcome.getByText("fickle/read_hidden").waitFor();
  await outcome.getByText("It has hard findings: hidden.").waitFor();
  await watch.look("tools-skipped");
  await press("Understood", outcome);
  await gone(outcome);
  await row("fickle/read_hidden").waitFor();
  assert.equal(await row("fickle/read_clean").count(), 0);
});

await step("T-03: what its server changes is shown place by place, and rejected", async () => {
  await fetch(WARDER_CHANGE, { method: "POST" });
  await open("Servers");
  await press("Refresh fickle");
  await page.getByText("0 new, 1 changed").waitFor();
  await alertsLink.click();
  await heading("Alerts");
  await alertAbout("A definition has changed").getByText(poisoned).waitFor();
  await alertAbout("A definition has changed").getByRole("link", { name: "Review" }).click();
  await shown("Changed", row(poisoned));
  await page.getByRole("link", { name: poisoned, exact: true }).click();
  await heading("What changed since it was approved");
  await poisonedDialog.getByText("Also deletes.").first().waitFor();
  await poisonedDialog.getByText(/The scanner found injection\..* here/).first().waitFor();
  await watch.look("tool-changed");
  await press("Reject", poisonedDialog);
  await fill("Reason", "It deletes now", dialog(/Reject fickle/));
  await press("Reject", dialog(/Reject fickle/));
  await shown("Rejected", poisonedDialog);
  await row("Rejected", "It deletes now").waitFor();
  await leave(poisonedDialog);
});

await step("a person's risk takes the place of the classifier's, and is taken back", async () => {
  await page.goto(`${base}/tools?tool=${encodeURIComponent("fickle/read_clean")}`);
  const drawer = dialog("fickle/read_clean").filter({ hasText: "Name for clients" });
  await press("Set the risk", drawer);
  const form = dialog("Set the risk of fickle/read_clean");
  await choose("Category", "admin: decides who may do what, or how the system is set up");
  await fill("Reason", "It reads credentials", form);
  await watch.look("tool-risk");
  await press("Set the risk", form);
  await gone(form);
  await drawer.getByText("admin, set by a person").waitFor();
  await row("Risk set", "It reads credentials").waitFor();
  await press("Back to the classifier", drawer);
  await press("Take it back", dialog(/Take back the risk/));
  await gone(drawer.getByText(", set by a person"));
  await leave(drawer);
});

await step("an alert is closed with a reason, and is kept", async () => {
  await alertsLink.click();
  await press("Close: A definition looks dangerous, fickle");
  await fill("Reason", "Seen to it", dialog("Close this alert?"));
  await press("Close the alert", dialog("Close this alert?"));
  await page.getByText("No alert is open.").waitFor();
  await page.getByRole("checkbox", { name: /closed as well/ }).click();
  await page.waitForURL(/closed=true/);
  await page.getByText("Closed by root").first().waitFor();
  await watch.look("alerts-closed");
});

await step("a call is recorded, for what follows", async () => {
  await eventually("a node serves the tool", async () => {
    const { message } = await call(key, "fickle__read_clean", { path: "a" });
    return message.result !== undefined;
  });
  await open("Audit");
  await eventually("the call is in the ledger", async () => {
    await page.reload();
    await heading("Audit");
    return (await row("fickle/read_clean", "Allowed").count()) > 0;
  });
});

const good = [
  "rules:",
  "  - name: nobody-reads",
  "    effect: deny",
  "    reason: Reading needs a person",
  '    tools: ["fickle/read_*"]',
  "    methods: [tools/call]",
  "tests:",
  "  - as: {user: ana, roles: [owner]}",
  "    call: fickle/read_clean",
  "    expect: deny",
  "",
].join("\n");
const limited = [
  "rules: []",
  "limits:",
  "  - {name: gently, per: user, calls: 1, window: 1h, burst: 1, tools: ['fickle/*']}",
  "tests:",
  "  - {as: {user: ana, roles: [owner]}, call: fickle/read_clean, expect: allow}",
  "",
].join("\n");

await step("an error in a document is shown at its line, and keeps it from being applied", async () => {
  await open("Policy");
  await tab("Change");
  await fill("Policy document", good.replace("effect: deny", "efect: deny"));
  const remarks = page.getByRole("list", { name: "Remarks" });
  await remarks.getByText("efect: deny").waitFor();
  await shown("Error", remarks);
  await watch.look("policy-error");
  await remarks.getByRole("button", { name: "Line 3, column 5" }).click();
  const marked = await page.evaluate(() => {
    const field = document.activeElement;
    return field.value.slice(field.selectionStart, field.selectionEnd);
  });
  assert.equal(marked, "efect: deny");
  await inert("Apply").hover();
  await page.getByRole("tooltip", { name: /It has errors/ }).waitFor();
});

await step("a document whose tests fail is not applied either", async () => {
  await fill("Policy document", good.replace("expect: deny", "expect: allow"));
  await page.getByText("1 of 1 test failed.").waitFor();
  await inert("Apply").waitFor();
  await watch.look("policy-test-fails");
});

await step("a draft is not left behind unasked", async () => {
  await page
    .getByRole("navigation", { name: "Pages" })
    .getByRole("link", { name: "Overview", exact: true })
    .click();
  await watch.look("policy-leave");
  await press("Stay", dialog("Leave your draft behind?"));
  await heading("Policy");
});

await step("a good one is checked, compared and simulated, and applied with a reason", async () => {
  await fill("Policy document", good);
  await page.getByText("No errors, no warnings. 1 test passed.").waitFor();
  await page.getByText("rule nobody-reads").waitFor();
  await press("Simulate");
  await page.getByText(/^[1-9][0-9]* would be denied now, 0 allowed\.$/).waitFor();
  await row("ana", "fickle/read_clean", "Denied", "nobody-reads").waitFor();
  await watch.look("policy-simulated");
  await press("Apply");
  const form = dialog("Apply this document?");
  await form.getByText("rule nobody-reads is added").waitFor();
  await fill("Reason", "Reading is dangerous", form);
  await watch.look("policy-apply");
  await press("Apply", form);
  await page.getByText("Version 1 is applied").waitFor();
  await row("nobody-reads", "Deny").waitFor();
  await page.getByText("Reading is dangerous").waitFor();
});

await step("a denied call is explained from the audit", async () => {
  await eventually("a node has the rule", async () => {
    const { message } = await call(key, "fickle__read_clean", { path: "a" });
    return message.error?.message.includes("Reading needs a person");
  });
  await open("Audit");
  const denied = row("fickle/read_clean", "Denied", "nobody-reads");
  await eventually("the refusal is in the ledger", async () => {
    await page.reload();
    await heading("Audit");
    return (await denied.count()) > 0;
  });
  await denied.first().getByRole("link", { name: /^Why\?/ }).click();
  await heading("Why was this call allowed or denied?");
  await page.getByRole("status", { name: "Decision" }).getByText("Reading needs a person").first().waitFor();
  await row("rule", "nobody-reads", "yes").waitFor();
  await watch.look("explain-call");
});

await step("limits are shown, and refusals by them stand out", async () => {
  await tab("Change");
  await fill("Policy document", limited);
  await page.getByText("No errors").waitFor();
  await press("Apply");
  await press("Apply", dialog("Apply this document?"));
  await page.getByText("Version 2 is applied").waitFor();
  await row("gently", "1 in 1 h", "each user").waitFor();
  await watch.look("policy-limits");
  await eventually("a node has the limit", async () => {
    const { message } = await call(key, "fickle__read_clean", { path: "a" });
    return message.error?.data?.limit === "gently";
  });
  await open("Audit");
  await eventually("the refusal is in the ledger", async () => {
    await page.reload();
    await heading("Audit");
    return (await row("Over a limit", "limit:gently").count()) > 0;
  });
  await watch.look("audit-limit");
});

await step("an earlier version is shown and brought back", async () => {
  await open("Policy");
  await tab("History");
  await row("Version 2", "in force").waitFor();
  await watch.look("policy-history");
  await page.getByRole("link", { name: "Version 1", exact: true }).click();
  const drawer = dialog("Version 1 of the policy");
  await drawer.getByText("Reading is dangerous").waitFor();
  await watch.look("policy-version");
  await press("Roll back to it", drawer);
  const form = dialog("Roll back to version 1?");
  await form.getByText("limit gently is removed").waitFor();
  await fill("Reason", "The limit was a mistake", form);
  await watch.look("policy-rollback");
  await press("Roll back", form);
  await page.getByText("Version 1 is in force again, as version 3").waitFor();
  await gone(form);
  await leave(drawer);
  await row("Version 3", "brought version 1 back", "The limit was a mistake", "in force").waitFor();
});

await step("who may only look is told what he may not do", async () => {
  await press("Sign out");
  await signIn("vic", password);
  await heading("Overview");
  await page.goto(`${base}/tools?tool=${encodeURIComponent("fickle/read_hidden")}`);
  const drawer = dialog("fickle/read_hidden").filter({ hasText: "Name for clients" });
  const approve = drawer.getByRole("button", { name: "Approve", exact: true });
  await approve.focus();
  await page.getByRole("tooltip", { name: /tools:approve/ }).waitFor();
  await page.keyboard.press("Enter");
  assert.equal(await dialog(/Approve fickle/).count(), 0);
  await drawer.getByRole("button", { name: "Close", exact: true }).focus();
  await watch.look("tool-viewer");
  await leave(drawer);
  await open("Policy");
  await tab("Change");
  await inert("Apply").waitFor();
  await watch.look("policy-viewer");
});

await arrive();
