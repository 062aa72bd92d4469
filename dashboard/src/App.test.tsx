// The whole application against a control plane in memory.

import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, expect, test, vi } from "vitest";
import { App } from "./App";
import { createQueryClient } from "./api/queryClient";
import { HealthService } from "./gen/warder/admin/v1/health_pb";
import { LoginService } from "./gen/warder/admin/v1/login_pb";
import { ServerService } from "./gen/warder/admin/v1/server_pb";
import { ToolService } from "./gen/warder/admin/v1/tool_pb";
import { createAppRouter } from "./router";

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

let root: Root;

function open(
  path: string,
  login: Partial<ServiceImpl<typeof LoginService>>,
  setupToken = "",
): HTMLElement {
  asked.length = 0;
  window.history.replaceState(null, "", path);
  const transport = createRouterTransport(
    ({ service }) => {
      service(HealthService, {
        getHealth: () => ({ databaseReady: true, setupNeeded: setupToken !== "" }),
      });
      service(LoginService, login);
      service(ServerService, { listServers: () => ({ servers: [{ name: "github" }] }) });
      service(ToolService, {
        listTools: () => ({ tools: [evilTool] }),
        getTool: () => ({ tool: evilTool }),
      });
    },
    { transport: { interceptors: [record] } },
  );
  const queryClient = createQueryClient(() => void router.invalidate());
  const router = createAppRouter({ transport, queryClient, setupToken });
  const element = document.body.appendChild(document.createElement("div"));
  root = createRoot(element);
  root.render(<App transport={transport} queryClient={queryClient} router={router} />);
  return document.body;
}

afterEach(() => {
  root.unmount();
  document.body.replaceChildren();
});

const attack = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202etxt.exe';
const evilTool = {
  server: "github",
  name: "delete_repo",
  exposedName: "github__delete_repo",
  description: attack,
  title: attack,
  definition: JSON.stringify({ name: "delete_repo", description: attack }),
};

function type(page: HTMLElement, selector: string, value: string) {
  const input = page.querySelector<HTMLInputElement>(selector);
  if (input === null) {
    throw new Error(`no field ${selector}`);
  }
  // React listens to the native setter only.
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, value);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

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
  await vi.waitFor(() => expect(page.textContent).toContain(`Sign in with ${attack}`), 5_000);
  const link = page.querySelector("a[href^='/login/oidc/corp']");
  expect(link?.getAttribute("href")).toBe("/login/oidc/corp?next=%2Ftools%3Fstate%3Dpending");
  expect(page.querySelector("img")).toBeNull();
});

test("T-38: the setup token goes to SetUp and nowhere else", async () => {
  const setUp = vi.fn(() => ({ name: "ana" }));
  const page = open("/setup", { whoAmI: signedOut, setUp }, "wds_secret");
  await vi.waitFor(() => expect(page.textContent).toContain("Create administrator"), 5_000);
  expect(page.innerHTML).not.toContain("wds_secret");

  type(page, 'input[autocomplete="username"]', "ana");
  type(page, 'input[autocomplete="new-password"]', "correct horse battery");
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
  expect(page.querySelectorAll("script, img, iframe, object, embed")).toHaveLength(0);
  expect(page.textContent).toContain('<img src=x onerror="alert(1)">');
  expect(page.textContent).toContain("⟨U+202E⟩");
  expect(page.textContent).not.toContain("\u202e");
});
