// An owner's way through everything that the dashboard does about people and
// credentials, and then that of somebody who may only look. Run by
// browser_test.go, with a provider of sign-on beside the gateway.

import assert from "node:assert/strict";
import {
  alert,
  arrive,
  base,
  call,
  choose,
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

const { WARDER_SETUP_TOKEN, WARDER_PROVIDER, WARDER_CLIENT_SECRET } = process.env;
const ana = { name: "ana", password: "correct horse battery" };
const vera = { name: "vera", password: "seven otters mend a kite" };

const button = (name) => page.getByRole("button", { name, exact: true });

/** Asks the administration's API, with a cookie or as nobody; returns the status, the answer and the cookie. */
async function api(method, message, cookie = "") {
  const response = await fetch(`${base}/warder.admin.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(cookie && { cookie }) },
    body: JSON.stringify(message),
  });
  const cookies = response.headers.getSetCookie().map((each) => each.split(";")[0]);
  return { status: response.status, cookie: cookies.join("; "), answer: await response.json() };
}

/** Asks the API as the page does, with whoever is signed in there. */
const apiOfPage = (method, message) =>
  page.evaluate(
    async ([path, body]) => {
      const response = await fetch(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      return { status: response.status, answer: await response.json() };
    },
    [`/warder.admin.v1.${method}`, JSON.stringify(message)],
  );

/** A button that can do nothing stays in its place, can be reached, and says why. */
async function refuses(name, reason) {
  assert.equal(await button(name).getAttribute("aria-disabled"), "true", name);
  const said = await button(name).getAttribute("aria-describedby");
  assert.match(await page.locator(`[id="${said}"]`).textContent(), reason);
  await button(name).click({ force: true });
  assert.equal(await page.getByRole("dialog").count(), 0, `${name} opened something`);
  await page.getByRole("tooltip").filter({ hasText: reason }).waitFor();
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement.blur());
  await gone(page.getByRole("tooltip"));
}

await page.goto(`${base}/setup#t=${WARDER_SETUP_TOKEN}`);
await fill("Name", ana.name);
await secret("Password", ana.password);
await press("Create administrator");
await heading("Overview");

await step("an owner makes a role of his own, with permissions and a grant", async () => {
  await open("Access");
  await tab("Roles");
  await press("Create a role");
  const form = dialog("Create a role");
  await fill("Name", "adder", form);
  await fill("Description", "Adds, and looks", form);
  await page.getByLabel("Tools", { exact: true }).first().fill("calculator/add");
  await page.keyboard.press("Enter");
  await form.getByRole("checkbox", { name: "read", exact: true }).check();
  await form.getByRole("checkbox", { name: "users:write", exact: true }).check();
  await form.getByRole("checkbox", { name: "keys:write", exact: true }).check();
  await watch.look("role-create");
  await press("Create", form);
  await gone(form);
  await shown("tools calculator/add of any risk", row("adder"));
  await watch.look("roles-custom");
  await press("Change adder");
  await watch.look("role-change");
  await dialog("Change adder").getByRole("checkbox", { name: "keys:write", exact: true }).uncheck();
  await press("Change", dialog("Change adder"));
  await gone(dialog("Change adder"));
  await gone(row("adder").getByText("keys:write"));
});

await step("and a user who has it", async () => {
  await tab("Users");
  await press("Create a user");
  const form = dialog("Create a user");
  await fill("Name", vera.name, form);
  await choose("Roles", "adder");
  await page.keyboard.press("Escape"); // Closes the list, not the dialog.
  await page.getByLabel("Groups", { exact: true }).first().fill("night shift");
  await page.keyboard.press("Enter");
  await secret("Password", vera.password);
  await watch.look("user-create");
  await press("Create", form);
  await gone(form);
  await row(vera.name, "adder", "password").waitFor();
  await watch.look("users-list");
  await page.getByRole("link", { name: vera.name, exact: true }).click();
  await shown("night shift", dialog(vera.name));
  assert.equal(new URL(page.url()).searchParams.get("user"), vera.name);
  await watch.look("user-drawer");
  await page.keyboard.press("Escape");
  await gone(dialog(vera.name));
});

await step("a role that somebody holds cannot be removed, and the page says who", async () => {
  await tab("Roles");
  await press("Remove adder");
  await press("Remove", dialog(/Remove the role/));
  await alert("held by the user vera");
  await watch.look("role-held");
  await press("Cancel");
}, ["RemoveRole 400"]);

await step("the last owner stays", async () => {
  await page.goto(`${base}/access?user=${ana.name}`);
  await press("Disable", dialog(ana.name));
  await press("Disable", dialog(/Disable ana/));
  await alert("nobody could sign in as an owner");
  await watch.look("last-owner");
  await press("Cancel");
  await page.keyboard.press("Escape");
}, ["DisableUser 400"]);

let old = "";
let successor = "";

/** The secret of a key that is shown, this once. */
async function take(title) {
  const shownKey = dialog(title);
  const key = await shownKey.getByRole("textbox", { name: "Key", exact: true }).inputValue();
  assert.match(key, /^wdr_/);
  await press("I have copied it", shownKey);
  await gone(shownKey);
  assert.ok(!(await page.content()).includes(key), "the secret is still in the page");
  return key;
}

const idOf = (key) => key.split("_")[1];

await step("a key for one server is made, and rotated with an overlap", async () => {
  await page.goto(`${base}/access?tab=keys`);
  await press("Create a key");
  await choose("User", vera.name);
  await page.getByLabel("Application", { exact: true }).first().fill("cursor");
  await page.keyboard.press("Escape");
  await choose("Servers", "calculator");
  await page.keyboard.press("Escape");
  await watch.look("key-for-server");
  await press("Create", dialog("Create a key"));
  old = await take("The key is created");
  await row(idOf(old), "calculator", "Valid").waitFor();
  await eventually("the key works", async () => {
    const { message } = await call(old, "calculator__add", { a: 2, b: 3 });
    return message.result?.structuredContent?.sum === 5;
  });

  await press(`Rotate ${idOf(old)}`);
  await choose("The old key works on for", "An hour");
  await watch.look("key-rotate");
  await press("Rotate", dialog(`Rotate key ${idOf(old)}`));
  successor = await take("The key has a successor");
  await shown(`followed by ${idOf(successor)}`, row(idOf(old)));
  await refuses(`Rotate ${idOf(old)}`, /rotated already/);
  await watch.look("keys-rotated");
  for (const key of [old, successor]) {
    await eventually("both keys work", async () => (await mcp(key, "server/discover")).status === 200);
  }
});

await step("keys are found by state and by part of what they say, in the address too", async () => {
  await page.goto(`${base}/access?tab=keys&state=revoked`);
  await shown("No key like that. Take a filter away to see more.");
  await page.goto(`${base}/access?tab=keys&q=${idOf(old)}`);
  await row(idOf(old)).first().waitFor();
});

await step("a session of somebody is ended, and her browser is signed out", async () => {
  const { status, cookie } = await api("LoginService/SignIn", vera);
  assert.equal(status, 200);
  await page.goto(`${base}/access?tab=sessions`);
  await row(ana.name, "This one").waitFor();
  await row(vera.name, "password").waitFor();
  await watch.look("sessions");
  assert.equal((await api("LoginService/WhoAmI", {}, cookie)).status, 200);
  await row(vera.name).getByRole("button", { name: /^End the session/ }).click();
  await press("End", dialog(/End this session/));
  await gone(row(vera.name));
  assert.equal((await api("LoginService/WhoAmI", {}, cookie)).status, 401);
});

await step("a denial stops a user at once, and is lifted", async () => {
  await tab("Denials");
  await page.getByText("Nothing is denied but by the policy").waitFor();
  await watch.look("denials-none");
  await press("Deny something");
  await fill("Name", vera.name, dialog("Deny something"));
  await fill("Reason", "incident 42", dialog("Deny something"));
  await watch.look("deny");
  await press("Deny", dialog("Deny something"));
  await row("user", vera.name, "incident 42").waitFor();
  await eventually("she is refused", async () => {
    const { status, message } = await call(successor, "calculator__add", { a: 2, b: 3 });
    return status !== 200 || message.error !== undefined;
  });
  await watch.look("denials");
  await press("Lift the denial of user vera");
  await press("Lift", dialog(/Lift the denial/));
  await gone(row(vera.name));
  await eventually("she is let in again", async () => {
    const { message } = await call(successor, "calculator__add", { a: 2, b: 3 });
    return message.result?.structuredContent?.sum === 5;
  });
});

await step("an application is disabled; its denial goes with that alone", async () => {
  await tab("Applications");
  await press("Disable cursor");
  await fill("Reason", "a bad release");
  await press("Disable", dialog("Disable cursor?"));
  await row("cursor", "Disabled", "a bad release").waitFor();
  await watch.look("applications");
  await tab("Denials");
  await row("application", "cursor", "a bad release").waitFor();
  await refuses("Lift the denial of application cursor", /application is disabled/);
  await tab("Applications");
  await press("Enable cursor");
  await press("Enable", dialog("Enable cursor?"));
  await row("cursor", "Active").waitFor();
});

await step("an issuer of tokens is added when its address is allowed", async () => {
  await open("Trust");
  await watch.look("issuers-none");
  await press("Add an issuer");
  const form = dialog("Add an issuer");
  await fill("Name", "corp", form);
  await fill("URL", WARDER_PROVIDER, form);
  await page.getByLabel("Audiences", { exact: true }).first().fill("https://gateway.example");
  await page.keyboard.press("Enter");
  await fill("User prefix", "corp:", form);
  await fill("Groups claim", "groups", form);
  await press("Give a group a role", form);
  await fill("Group 1", "platform", form);
  await choose("Role 1", "adder");
  await press("Add", form);
  await alert("private");
  const note = await form.getByRole("alert").boundingBox();
  assert.ok(note.y + note.height <= page.viewportSize().height, "the error is out of sight");
  await form.getByRole("checkbox", { name: /private address/ }).check();
  await watch.look("issuer-add");
  await press("Add", form);
  await gone(form);
  await row("corp", WARDER_PROVIDER).waitFor();
  await page.getByRole("link", { name: "corp", exact: true }).click();
  await shown("platform gives adder", dialog("corp"));
  await watch.look("issuer-drawer");
  await press("Change", dialog("corp"));
  await fill("User prefix", "corp/", dialog("Change corp"));
  await press("Change", dialog("Change corp"));
  await gone(dialog("Change corp"));
  await shown("corp/{sub}", dialog("corp"));
  await page.keyboard.press("Escape");
  await gone(dialog("corp"));
}, ["AddIssuer 400"]);

await step("a provider of sign-on is added, and says what to register there", async () => {
  await tab("Sign-on providers");
  await watch.look("providers-none");
  await press("Add a provider");
  const form = dialog("Add a provider");
  await fill("Name", "corp", form);
  await fill("URL of the issuer", WARDER_PROVIDER, form);
  await fill("Title", "Corp", form);
  await fill("Client id", "warder", form);
  await secret("Client secret", WARDER_CLIENT_SECRET);
  for (const scope of ["profile", "groups"]) {
    await page.getByLabel("Scopes", { exact: true }).first().fill(scope);
    await page.keyboard.press("Enter");
  }
  await press("Give a group a role", form);
  await fill("Group 1", "dev", form);
  await choose("Role 1", "viewer");
  await form.getByRole("checkbox", { name: /private address/ }).check();
  await watch.look("provider-add");
  await press("Add", form);
  await shown(`${base}/login/oidc/corp/callback`);
  await watch.look("providers");
  assert.ok(!(await page.content()).includes(WARDER_CLIENT_SECRET), "the secret is in the page");
  await page.getByRole("link", { name: "corp", exact: true }).click();
  await shown("kept, sealed", dialog("corp"));
  await watch.look("provider-drawer");
  await page.keyboard.press("Escape");
  await gone(dialog("corp"));
});

await step("secrets at rest and the keys that seal them", async () => {
  await tab("Secrets");
  await shown("Every secret is sealed under the newest key.", page.getByRole("status"));
  await refuses("Seal anew", /newest key/);
  await watch.look("secrets");
  const before = await page.getByRole("table", { name: "Seal keys" }).getByRole("row").count();
  await press("Rotate");
  await watch.look("seal-rotate");
  await press("Rotate", dialog("Rotate the seal keys?"));
  await eventually(
    "a new key waits for its turn",
    async () =>
      (await page.getByRole("table", { name: "Seal keys" }).getByRole("row").count()) > before,
  );
});

await step("one's own account: a wrong old password is refused in words", async () => {
  await page.getByRole("banner").getByRole("link", { name: ana.name }).click();
  await heading("Your account");
  await shown("users:write");
  await watch.look("account");
  await press("Change your password");
  await secret("Password until now", "wrong horse battery");
  await secret("New password", "eight badgers paint a door");
  await press("Change", dialog("Change your password"));
  await alert("the old password is wrong");
  await secret("Password until now", ana.password);
  await press("Change", dialog("Change your password"));
  await gone(dialog("Change your password"));
}, ["SetPassword 403"]);

await step("P-16: who manages users gives nothing that she does not hold, and reads why", async () => {
  await press("Sign out");
  await signIn(vera.name, vera.password);
  await heading("Overview");
  await open("Access");
  await press("Create a user");
  const form = dialog("Create a user");
  await fill("Name", "mallory", form);
  await choose("Roles", "owner");
  await page.keyboard.press("Escape"); // Closes the list, not the dialog.
  await press("Create", form);
  await alert("you do not hold");
  await watch.look("not-held");
  await press("Cancel", form);
  await tab("Roles");
  await refuses("Create a role", /roles:write/);
}, ["CreateUser 403"]);

await step("the provider's button leads to the provider, and back to where one was", async () => {
  await press("Sign out");
  await heading("Sign in");
  await page.goto(`${base}/access?tab=keys`);
  await page.getByRole("link", { name: "Sign in with Corp" }).waitFor();
  await watch.look("login-providers");
  await page.getByRole("link", { name: "Sign in with Corp" }).click();
  await page.waitForURL(`${WARDER_PROVIDER}/**`);
  await page.locator("input[name=login]").fill("eve");
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await heading("Access");
  assert.equal(page.url(), `${base}/access?tab=keys`);
  await shown("eve", page.getByRole("banner"));
}, ["WhoAmI 401"]);

await step("who may only look finds why each button does nothing", async () => {
  await row(idOf(successor)).first().waitFor();
  await refuses("Create a key", /keys:write/);
  await refuses(`Revoke ${idOf(successor)}`, /keys:write/);
  await watch.look("keys-viewer");
  for (const [name, act, permission] of [
    ["Users", "Create a user", /users:write/],
    ["Roles", "Create a role", /roles:write/],
    ["Applications", "Create an application", /applications:write/],
    ["Denials", "Deny something", /denials:write/],
  ]) {
    await tab(name);
    await refuses(act, permission);
  }
  await tab("Users");
  await page.getByRole("link", { name: vera.name, exact: true }).click();
  const drawer = dialog(vera.name);
  for (const act of ["Change", "Set password", "Disable", "Remove", "Link to a provider"]) {
    assert.equal(
      await drawer.getByRole("button", { name: act, exact: true }).getAttribute("aria-disabled"),
      "true",
      act,
    );
  }
  await watch.look("user-drawer-viewer");
  await page.keyboard.press("Escape");
  await gone(drawer);
  await tab("Sessions");
  await page.getByText("Only your own sessions are yours to see").waitFor();
  await watch.look("sessions-viewer");
  await page.getByRole("link", { name: "See your own" }).click();
  await row("corp", "This one").waitFor();
  await open("Trust");
  await refuses("Add an issuer", /issuers:write/);
  await tab("Sign-on providers");
  await refuses("Add a provider", /providers:write/);
  await tab("Secrets");
  await refuses("Rotate", /seal-keys:rotate/);
});

await step("and the API refuses him the same", async () => {
  for (const [method, message] of [
    ["UserService/CreateUser", { name: "mallory", roles: ["owner"] }],
    ["UserService/DisableUser", { name: vera.name }],
    ["RoleService/CreateRole", { name: "god", permissions: ["users:write"] }],
    ["KeyService/RevokeKey", { id: idOf(successor) }],
    ["DenialService/AddDenial", { kind: "all" }],
    ["LoginService/ListSessions", { user: "*" }],
  ]) {
    const { status, answer } = await apiOfPage(method, message);
    assert.equal(status, 403, `${method}: ${JSON.stringify(answer)}`);
    assert.match(answer.message, /needs? the permission/);
  }
}, [
  "AddDenial 403",
  "CreateRole 403",
  "CreateUser 403",
  "DisableUser 403",
  "ListSessions 403",
  "RevokeKey 403",
]);

await step("the owner takes the rest away again", async () => {
  await press("Sign out");
  await signIn(ana.name, "eight badgers paint a door");
  await heading("Overview");
  await page.goto(`${base}/access?user=${vera.name}`);
  await press("Remove", dialog(vera.name));
  await fill("Reason", "The tour is over");
  await press("Remove", dialog("Remove vera?"));
  await shown("Removed", dialog(vera.name));
  await page.keyboard.press("Escape");
  await gone(row(vera.name));
  await eventually("her keys are refused", async () => {
    return (await mcp(successor, "server/discover")).status === 401;
  });
  await page.goto(`${base}/trust?tab=providers&name=corp`);
  await press("Remove", dialog("corp"));
  await press("Remove", dialog("Remove the provider corp?"));
  await page.getByText("No provider yet").waitFor();
});

await arrive();
