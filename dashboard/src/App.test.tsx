// The whole application against a control plane in memory.

import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { HealthService } from "./gen/warder/admin/v1/health_pb";
import { LoginService } from "./gen/warder/admin/v1/login_pb";
import { ServerService } from "./gen/warder/admin/v1/server_pb";
import { ToolService } from "./gen/warder/admin/v1/tool_pb";
import { enter, mount } from "./testPage";

const signedOut = () => {
  throw new ConnectError("sign in", Code.Unauthenticated);
};

/** Everything that was asked for, as JSON of the procedure and the message. */
const asked: string[] = [];
const record: Interceptor = (next) => (request) => {
  const body = request.stream ? "" : JSON.stringify(request.message, stringifyBigint);
  asked.push(`${request.method.name} ${body}`);
  return next(request);
};
const stringifyBigint = (_: string, value: unknown) =>
  typeof value === "bigint" ? String(value) : value;

function open(
  path: string,
  login: Partial<ServiceImpl<typeof LoginService>>,
  setupToken = "",
): HTMLElement {
  asked.length = 0;
  const transport = createRouterTransport(
    ({ service }) => {
      service(HealthService, {
        getHealth: () => ({ databaseReady: true, setupNeeded: setupToken !== "" }),
      });
      service(LoginService, login);
      service(ServerService, {
        listServers: () => ({ servers: [{ name: "github" }] }),
        getServer: () => ({ server: { name: "github", claimedName: attack } }),
      });
      service(ToolService, {
        listTools: () => ({ tools: [evilTool] }),
        getTool: () => ({ tool: evilTool }),
      });
    },
    { transport: { interceptors: [record] } },
  );
  return mount(path, transport, setupToken);
}

const attack = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202etxt.exe';
const evilTool = {
  server: "github",
  name: "delete_repo",
  exposedName: "github__delete_repo",
  description: attack,
  definitionHash: "abc",
  title: attack,
  definition: JSON.stringify({ name: "delete_repo", description: attack }),
  approvedDefinition: JSON.stringify({ name: "delete_repo" }),
  findings: [
    {
      check: "hidden.direction",
      severity: "hard",
      path: attack,
      excerpt: attack,
      explanation: attack,
    },
  ],
  differences: [{ path: attack, change: "added", after: JSON.stringify(attack), note: attack }],
  riskReasons: [{ risk: "destructive", what: attack, where: `parameter ${attack}` }],
  verdicts: [{ verdict: "rejected", actor: "ana", reason: attack, findings: ["hidden.direction"] }],
};

test("who is not signed in is led to the sign-in, and back afterwards", async () => {
  const page = open("/tools?state=pending", { whoAmI: signedOut });
  await vi.waitFor(() => expect(page.textContent).toContain("Sign in"), 5_000);
  expect(window.location.pathname).toBe("/login");
  expect(new URLSearchParams(window.location.search).get("next")).toBe("/tools?state=pending");
});

test("providers have buttons that lead back to where somebody was", async () => {
  const page = open("/tools?state=pending", {
    whoAmI: signedOut,
    listSignOns: () => ({
      password: true,
      providers: [{ name: "corp", title: attack, path: "/login/oidc/corp" }],
    }),
  });
  await vi.waitFor(() => expect(page.textContent).toContain("Sign in with <img"), 5_000);
  expect(page.textContent).toContain("⟨U+202E⟩");
  const link = page.querySelector("a[href^='/login/oidc/corp']");
  expect(link?.getAttribute("href")).toBe("/login/oidc/corp?next=%2Ftools%3Fstate%3Dpending");
  expect(page.querySelector("img")).toBeNull();
});

test("T-38: the setup token goes to SetUp and nowhere else", async () => {
  const setUp = vi.fn(() => ({ name: "ana" }));
  const page = open("/setup", { whoAmI: signedOut, setUp }, "wds_secret");
  await vi.waitFor(() => expect(page.textContent).toContain("Create administrator"), 5_000);
  expect(page.innerHTML).not.toContain("wds_secret");

  enter(page.querySelector('input[autocomplete="username"]'), "ana");
  enter(page.querySelector('input[autocomplete="new-password"]'), "correct horse battery");
  page
    .querySelector("form")
    ?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));

  await vi.waitFor(() => expect(setUp).toHaveBeenCalledOnce());
  const carriers = asked.filter((request) => request.includes("wds_secret"));
  expect(carriers).toHaveLength(1);
  expect(carriers[0]).toMatch(/^SetUp /);
  expect(window.location.href).not.toContain("wds_");
  expect(JSON.stringify({ ...window.localStorage, ...window.sessionStorage })).not.toContain(
    "wds_",
  );
});

test("T-14: the text of a server becomes no element and hides nothing", async () => {
  const page = open("/tools?tool=github%2Fdelete_repo", { whoAmI: () => ({ name: "ana" }) });
  await vi.waitFor(() => expect(page.textContent).toContain("Name for clients"), 5_000);
  expect(page.textContent).toContain("What changed since it was approved");
  expect(page.textContent).toContain("What the scanner found");
  expect(page.querySelectorAll("script, img, iframe, object, embed")).toHaveLength(0);
  expect(page.textContent).toContain('<img src=x onerror="alert(1)">');
  expect(page.textContent).toContain("⟨U+202E⟩");
  expect(page.textContent).not.toContain("\u202e");
});

test("T-07: what a server calls itself hides nothing", async () => {
  const page = open("/servers?server=github", { whoAmI: () => ({ name: "ana" }) });
  await vi.waitFor(() => expect(page.textContent).toContain("Calls itself"), 5_000);
  expect(page.textContent).toContain("⟨U+202E⟩");
  expect(page.textContent).not.toContain("\u202e");
  expect(page.querySelectorAll("script, img")).toHaveLength(0);
});

const approve = (page: HTMLElement) =>
  [...page.querySelectorAll<HTMLButtonElement>("[role=dialog] button")].find(
    (button) => button.textContent === "Approve",
  );

test("a button for what somebody may not do says so, and does nothing", async () => {
  const page = open("/tools?tool=github%2Fdelete_repo", {
    whoAmI: () => ({ name: "vic", permissions: ["read"] }),
  });
  await vi.waitFor(() => expect(approve(page)).toBeDefined(), 5_000);
  const button = approve(page);
  expect(button?.getAttribute("aria-disabled")).toBe("true");
  expect(button?.disabled).toBe(false); // Or no keyboard would reach it.
  const why = document.getElementById(button?.getAttribute("aria-describedby") ?? "");
  expect(why?.textContent).toContain("tools:approve");
  button?.click();
  await new Promise((done) => setTimeout(done));
  expect(page.textContent).not.toContain("Approve github/delete_repo?");
});

test("T-01: an approval says that findings are accepted only where somebody did", async () => {
  const page = open("/tools?tool=github%2Fdelete_repo", {
    whoAmI: () => ({ name: "ana", permissions: ["read", "tools:approve"] }),
  });
  await vi.waitFor(() => expect(approve(page)).toBeDefined(), 5_000);
  approve(page)?.click();
  const form = await vi.waitFor(() => {
    const found = page.querySelector<HTMLFormElement>("[role=dialog] form");
    expect(found).not.toBeNull();
    return found as HTMLFormElement;
  }, 5_000);
  const submit = () => form.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  const approvals = () => asked.filter((request) => request.startsWith("ApproveTools"));

  submit();
  await vi.waitFor(() => expect(form.textContent).toContain("unless you accept what was found"));
  form.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
  submit();
  await vi.waitFor(() => expect(form.textContent).toContain("Say why"));
  expect(approvals()).toEqual([]);

  const reason = form.querySelector("textarea");
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value")?.set?.call(
    reason,
    "seen",
  );
  reason?.dispatchEvent(new Event("input", { bubbles: true }));
  submit();
  await vi.waitFor(() => expect(approvals()).toHaveLength(1));
  expect(approvals()[0]).toContain('"acceptFindings":true');
  expect(approvals()[0]).toContain('"definitionHash":"abc"');
});
