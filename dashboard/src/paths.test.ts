import { expect, test } from "vitest";
import { parseSearch, pb, safeReturn } from "./paths";

test("each page has one path", () => {
  const paths = Object.fromEntries(Object.entries(pb).map(([name, link]) => [name, link()]));
  expect(paths).toMatchInlineSnapshot(`
    {
      "access": {
        "search": {},
        "to": "/access",
      },
      "account": {
        "to": "/account",
      },
      "alerts": {
        "search": {},
        "to": "/alerts",
      },
      "audit": {
        "search": {},
        "to": "/audit",
      },
      "fleet": {
        "search": {},
        "to": "/fleet",
      },
      "login": {
        "search": {},
        "to": "/login",
      },
      "overview": {
        "to": "/",
      },
      "policy": {
        "search": {},
        "to": "/policy",
      },
      "servers": {
        "search": {},
        "to": "/servers",
      },
      "setup": {
        "to": "/setup",
      },
      "tools": {
        "search": {},
        "to": "/tools",
      },
      "trust": {
        "search": {},
        "to": "/trust",
      },
    }
  `);
});

test("filters survive the way through an address", () => {
  const search = {
    kind: "prompt",
    server: "github",
    state: "changed",
    q: "delete",
    tool: "github/delete_repo",
  } as const;
  expect(parseSearch.tools({ ...pb.tools(search).search })).toEqual(search);
});

test("an address cannot bring in values that a page does not know", () => {
  expect(parseSearch.tools({ kind: "task", state: "callable", server: 5, q: { a: 1 } })).toEqual({
    server: "5",
  });
  expect(parseSearch.audit({ decision: "maybe", since: "yesterday", live: "yes" })).toEqual({});
  expect(parseSearch.access({ tab: "secrets" })).toEqual({});
});

test.each([
  ["/tools?state=pending", "/tools?state=pending"],
  [undefined, "/"],
  ["https://evil.example/", "/"],
  ["//evil.example/", "/"],
  ["/\\evil.example/", "/"],
  ["/\t/evil.example/", "/"],
  ["javascript:alert(1)", "/"],
  ["tools", "/"],
])("T-38: after signing in, %j leads to %j", (next, want) => {
  expect(safeReturn(next)).toBe(want);
});

test("a decision is asked about with a method that its kind has", () => {
  expect(parseSearch.policy({ tool: "s/a", method: "sampling/createMessage" }).method).toBe(
    "sampling/createMessage",
  );
  expect(parseSearch.policy({ kind: "prompt", method: "completion/complete" }).method).toBe(
    "completion/complete",
  );
  expect(parseSearch.policy({ tool: "s/a", method: "prompts/get" }).method).toBeUndefined();
  expect(parseSearch.policy({ kind: "resource", method: "nonsense" }).method).toBeUndefined();
});

test("what the tabs about people show survives the way through an address", () => {
  const access = { tab: "keys", q: "42", state: "revoked", kind: "key", user: "ana" } as const;
  expect(parseSearch.access({ ...pb.access(access).search, q: 42 })).toEqual(access);
  const trust = { tab: "providers", name: "corp" } as const;
  expect(parseSearch.trust({ ...pb.trust(trust).search })).toEqual(trust);
  const fleet = { tab: "agents", name: "7" } as const;
  expect(parseSearch.fleet({ ...pb.fleet(fleet).search, name: 7 })).toEqual(fleet);
});

test("an unknown tab, state or kind is left out", () => {
  const nothing = { tab: undefined, state: undefined, kind: undefined };
  const raw = { tab: "gods", state: "holy", kind: "planet" };
  expect(parseSearch.access(raw)).toMatchObject(nothing);
  expect(parseSearch.trust(raw)).toMatchObject({ tab: undefined });
  expect(parseSearch.fleet(raw)).toMatchObject({ tab: undefined });
});
