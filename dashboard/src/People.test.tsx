// The pages about people against a control plane in memory: what hostile text
// does there, and what somebody sees who may do little.

import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { DenialService } from "./gen/warder/admin/v1/denial_pb";
import { LoginService } from "./gen/warder/admin/v1/login_pb";
import { RoleService } from "./gen/warder/admin/v1/role_pb";
import { UserService } from "./gen/warder/admin/v1/user_pb";
import { button, mount, shows, submit } from "./testPage";

const attack = '<img src=x onerror="alert(1)">\u202etxt.exe';

function open(path: string, permissions: string[]) {
  const transport = createRouterTransport(({ service }) => {
    service(LoginService, {
      whoAmI: () => ({ name: "ana", permissions }),
      listSessions: () => ({
        sessions: [{ id: "1", user: "ana", userAgent: attack, address: attack, current: true }],
      }),
    });
    service(UserService, {
      listUsers: () => ({
        users: [{ name: "bob", groups: [attack], disabled: true, disabledReason: attack }],
      }),
      enableUser: () => {
        throw new ConnectError(`you do not hold ${attack}`, Code.PermissionDenied);
      },
    });
    service(RoleService, {
      listRoles: () => ({ roles: [{ name: "adder", description: attack }] }),
    });
    service(DenialService, {
      listDenials: () => ({
        denials: [{ kind: "token", name: attack, reason: attack, cause: "denial" }],
      }),
    });
  });
  return mount(path, transport);
}

test.each([
  ["/access?user=bob", "Last sign-in"],
  ["/access?tab=roles", "adder"],
  ["/access?tab=sessions", "This one"],
  ["/access?tab=denials", "token"],
  ["/account", "Your sessions"],
])(
  "T-14: what somebody else wrote becomes no element and hides nothing on %s",
  async (path, text) => {
    const page = open(path, ["read", "users:write"]);
    await shows(page, text);
    await shows(page, "⟨U+202E⟩");
    expect(page.querySelectorAll("img, script")).toHaveLength(0);
    expect(page.textContent).not.toContain("\u202e");
  },
);

test("who lacks a permission finds the button, and why it does nothing", async () => {
  const page = open("/access?user=bob", ["read"]);
  await shows(page, "Last sign-in");
  for (const name of ["Create a user", "Enable", "Remove", "Link to a provider"]) {
    const found = button(page, name);
    expect(found.getAttribute("aria-disabled"), name).toBe("true");
    const reason = document.getElementById(found.getAttribute("aria-describedby") ?? "");
    expect(reason?.textContent, name).toMatch(/needs the permission (users|providers):write/);
    found.click();
  }
  expect(page.querySelectorAll("[role=dialog]")).toHaveLength(1); // The drawer alone.
});

test("who lacks users:write is not asked for sessions of others", async () => {
  const page = open("/access?tab=sessions", ["read"]);
  await shows(page, "Only your own sessions are yours to see");
});

test("what the server refuses is said in its words, beside the question", async () => {
  const page = open("/access?user=bob", ["read", "users:write"]);
  await shows(page, "Last sign-in");
  button(page, "Enable").click();
  await shows(page, "Enable bob?");
  submit(page, "form:not([aria-label])");
  await shows(page, "you do not hold <img");
  expect(page.querySelector("[role=alert]")?.textContent).toContain("⟨U+202E⟩");
});
